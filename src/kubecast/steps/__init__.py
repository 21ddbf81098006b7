"""One plain function for each pipeline component: paths, URLs and strings in, paths out."""
