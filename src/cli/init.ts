/** `aloft init`: writes a new app. Looks at every file first and writes none when one of them exists. */
import { existsSync } from "node:fs";
import { appendFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join, relative, resolve } from "node:path";
import { appNameFrom } from "../build/app-source.ts";
import { AloftError } from "../contract/errors.ts";
import { nearestWord } from "../lib/edit-distance.ts";
import type { Context } from "./command.ts";
import { templates } from "./templates.ts";
import type { Template } from "./templates.ts";

export async function run({ words, flags, json, terminal, folder }: Context): Promise<number> {
  const target = resolve(folder, words[0] ?? ".");
  const templateName = flags.text("template") ?? "http";
  const template = findTemplate(templateName);
  const app = appNameFrom(basename(target));
  const files = filesOf(template, app, basename(target));

  const existing = Object.keys(files).filter((file) => existsSync(join(target, file)));
  if (existing.length > 0) {
    throw new AloftError("USAGE", `${target} already has ${existing.join(", ")}, and nothing is overwritten`, {
      hint: "choose another folder: aloft init DIR",
    });
  }
  await mkdir(target, { recursive: true });
  for (const [file, content] of Object.entries(files)) await writeFile(join(target, file), content, { flag: "wx" });
  await completeGitignore(join(target, ".gitignore"));

  if (json) {
    terminal.printJson({ app, folder: target, template: templateName, files: Object.keys(files) });
    return 0;
  }
  const shown = relative(folder, target) || ".";
  const needsInstall = Object.keys(template.dependencies).length > 0;
  terminal.print(
    `${terminal.paint("green", "wrote")} ${Object.keys(files).join(", ")} in ${shown === "." ? "this folder" : shown}`,
  );
  terminal.print("");
  if (needsInstall) terminal.print(`  npm install${shown === "." ? "" : ` --prefix ${shown}`}`);
  terminal.print(`  aloft dev${shown === "." ? "" : ` ${shown}`}`);
  terminal.print(`  curl '127.0.0.1:8787${template.path}'`);
  return 0;
}

function findTemplate(name: string): Template {
  if (Object.hasOwn(templates, name)) return templates[name as keyof typeof templates];
  const names = Object.keys(templates);
  const meant = nearestWord(name, names);
  throw new AloftError("USAGE", `there is no template "${name}"; there are ${names.join(", ")}`, {
    hint: meant === null ? undefined : `did you mean --template ${meant}?`,
  });
}

function filesOf(template: Template, app: string, folderName: string): Record<string, string> {
  const manifest = { name: app, private: true, type: "module", dependencies: template.dependencies };
  const config = `// What the code cannot say; docs: aloft.json\n{\n  "name": ${JSON.stringify(app)}\n}\n`;
  return {
    [template.entry]: template.code,
    "package.json": `${JSON.stringify(manifest, null, 2)}\n`,
    ...(app === folderName ? {} : { "aloft.json": config }),
  };
}

/** dev's data and secrets do not belong in a repository; a .gitignore that is there gets only the lines it lacks. */
async function completeGitignore(file: string): Promise<void> {
  const present = existsSync(file) ? await readFile(file, "utf8") : "";
  const lines = new Set(present.split(/\r?\n/).map((line) => line.trim()));
  const missing = ["node_modules/", ".aloft/", ".env"].filter((line) => !lines.has(line));
  if (missing.length === 0) return;
  const gap = present === "" || present.endsWith("\n") ? "" : "\n";
  await appendFile(file, `${gap}${missing.join("\n")}\n`);
}
