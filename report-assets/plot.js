// The parts of Observable Plot that the pages use; whoever draws another mark adds it here.
export {
  areaY,
  barX,
  dot,
  lineY,
  link,
  plot,
  pointerX,
  rectY,
  ruleX,
  ruleY,
  text,
  tip,
} from "@observablehq/plot";
