import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { openImagePipes } from "./image-pipes.ts";

/** A launcher that makes the pipes and says so; then what the script says. */
async function launch(script: string): Promise<{ stdout: string; stderr: string }> {
  const folder = await mkdtemp(join(tmpdir(), "aloft-pipes-"));
  try {
    const child = spawn("sh", ["-c", `cd ${folder} && mkfifo out err && ${script}`], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    const { stdout, stderr, drained } = openImagePipes(child, folder);
    const [out, err] = await Promise.all([text(stdout), text(stderr), drained]);
    return { stdout: out, stderr: err };
  } finally {
    await rm(folder, { recursive: true });
  }
}

test("what is written is read to its end", async () => {
  const written = await launch('exec 3<>out 4<>err; echo ready; read go; echo "$go" >&3; echo no >&4');
  assert.deepEqual(written, { stdout: "go\n", stderr: "no\n" });
});

test("a launcher that is gone before its pipes are opened leaves nobody waiting", async () => {
  assert.deepEqual(await launch("echo ready"), { stdout: "", stderr: "" });
});

test("a launcher that ends before there are pipes has said why", async () => {
  assert.deepEqual(await launch("echo broken >&2; exit 1"), { stdout: "", stderr: "broken\n" });
});
