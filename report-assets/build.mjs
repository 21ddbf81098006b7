// Writes plot.js and the licences of what is in it beside the templates of the pages.
import { build } from "esbuild";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";

const TARGET = "../src/kubecast/reports/templates";
const { metafile, outputFiles } = await build({
  entryPoints: ["plot.js"],
  bundle: true,
  minify: true,
  format: "iife",
  globalName: "Plot",
  target: "es2022",
  charset: "ascii",
  legalComments: "none",
  metafile: true,
  write: false,
});
writeFileSync(`${TARGET}/plot.js`, outputFiles[0].text);

const used = Object.values(metafile.outputs)[0].inputs;
const names = Object.entries(used)
  .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
  .map(([path]) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1])
  .filter(Boolean);
const licences = [...new Set(names)].sort().map((name) => {
  const folder = `node_modules/${name}`;
  const { version, license } = JSON.parse(readFileSync(`${folder}/package.json`));
  const file = readdirSync(folder).find((each) => /^licen[sc]e/i.test(each));
  if (!file || !existsSync(`${folder}/${file}`)) throw Error(`${name} has no licence file`);
  return `${name} ${version} (${license})\n\n${readFileSync(`${folder}/${file}`, "utf8").trim()}\n`;
});
writeFileSync(`${TARGET}/plot.LICENSES.txt`, licences.join(`\n${"-".repeat(80)}\n\n`));
