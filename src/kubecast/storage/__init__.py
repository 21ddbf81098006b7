"""Files in a folder or a bucket: conditional writes, checksums and retries."""
