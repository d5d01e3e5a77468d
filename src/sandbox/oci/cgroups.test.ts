import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Cgroup, findCgroupPlace, removeGroup } from "./cgroups.ts";

const unified = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
const hybrid = [
  "31 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct",
  "32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
  "33 30 0:29 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids",
  "34 30 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd",
  "35 30 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
];

test("with cgroups of version 2 instances stand beside the server's own group", () => {
  const { version, specPrefix, parents } = findCgroupPlace("0::/system.slice/aloft.service\n", unified);
  assert.deepEqual([version, specPrefix], [2, "/system.slice/"]);
  assert.deepEqual(new Set(Object.values(parents)), new Set(["/sys/fs/cgroup/system.slice"]));
});

test("a server in the root group has its instances right below it", () => {
  const { specPrefix, parents } = findCgroupPlace("0::/\n", unified);
  assert.deepEqual([specPrefix, parents["memory"]], ["/", "/sys/fs/cgroup"]);
});

test("with version 1 instances stand inside the server's own group of each hierarchy", () => {
  const self = "4:cpu,cpuacct:/\n3:memory:/jobs/7\n2:pids:/\n1:name=systemd:/\n0::/\n";
  const { version, specPrefix, parents } = findCgroupPlace(self, hybrid.join("\n"));
  assert.deepEqual([version, specPrefix], [1, ""]);
  assert.equal(parents["memory"], "/sys/fs/cgroup/memory/jobs/7");
  assert.equal(parents["cpu"], "/sys/fs/cgroup/cpu");
  assert.equal(parents["unified"], "/sys/fs/cgroup/unified");
});

test("where the server's groups have one path, the bundle names it in full", () => {
  const self = "4:cpu,cpuacct:/a\n3:memory:/a\n2:pids:/a\n1:name=systemd:/a\n0::/a\n";
  assert.equal(findCgroupPlace(self, hybrid.join("\n")).specPrefix, "/a/");
});

test("a part of a hierarchy that is mounted alone is the top of what there is", () => {
  const mounts = hybrid.map((line) => line.replace(" / /sys", " /docker/1 /sys")).join("\n");
  const self = "4:cpu,cpuacct:/docker/1\n3:memory:/docker/1\n2:pids:/docker/1\n";
  assert.equal(findCgroupPlace(self, mounts).parents["memory"], "/sys/fs/cgroup/memory");
});

test("a controller that is not there is named", () => {
  const mounts = hybrid.filter((line) => !line.includes("pids")).join("\n");
  assert.throws(() => findCgroupPlace("4:cpu,cpuacct:/\n3:memory:/\n", mounts), /controller pids is not mounted/);
  assert.throws(() => findCgroupPlace("0::/\n", ""), /controller memory is not mounted/);
});

function folderWith(t: TestContext, files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "aloft-cgroup-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, "one"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, "one", name), text);
  return folder;
}

function groupIn(version: 1 | 2, folder: string): Cgroup {
  return new Cgroup({ version, specPrefix: "/", parents: { memory: folder, cpu: folder, pids: folder } }, "one");
}

test("what the files of version 2 say is read and written", (t) => {
  const folder = folderWith(t, {
    "memory.stat": "anon 1000\nfile 9999\nshmem 24\n",
    "memory.events": "low 0\noom 3\noom_kill 2\n",
    "memory.max": "104857600\n",
    "memory.swap.max": "0\n",
    "pids.max": "256\n",
    "cgroup.threads": "7\n8\n",
    "cgroup.procs": "",
  });
  const group = groupIn(2, folder);
  assert.equal(group.memoryBytes(), 1024);
  assert.equal(group.oomKills(), 2);
  assert.deepEqual(group.limits(), { memoryBytes: 104_857_600, swapBytes: 0, processes: 256 });
  assert.deepEqual(group.threads(), [7, 8]);
  assert.deepEqual(group.processes(), []);
  group.setCpuShares(1024);
  assert.equal(readFileSync(join(folder, "one", "cpu.weight"), "utf8"), "39");
});

test("what the files of version 1 say is read and written", (t) => {
  const folder = folderWith(t, {
    "memory.stat": "rss 1\nshmem 2\ntotal_rss 1000\ntotal_shmem 24\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    "memory.limit_in_bytes": "1000\n",
    "memory.memsw.limit_in_bytes": "1000\n",
    "pids.max": "max\n",
    tasks: "9\n",
  });
  const group = groupIn(1, folder);
  assert.deepEqual([group.memoryBytes(), group.oomKills(), group.threads()], [1024, 1, [9]]);
  assert.deepEqual(group.limits(), { memoryBytes: 1000, swapBytes: 0, processes: Number.NaN });
  group.setCpuShares(102);
  assert.equal(readFileSync(join(folder, "one", "cpu.shares"), "utf8"), "102");
});

test("a group that is gone says so and takes nothing", () => {
  const group = groupIn(1, "/nowhere");
  assert.deepEqual([group.memoryBytes(), group.oomKills(), group.kill(), group.remove()], [null, 0, 0, true]);
  assert.equal(group.setCpuShares(1), false);
});

test("removing a group removes what was made inside it", (t) => {
  const folder = folderWith(t, {});
  mkdirSync(join(folder, "one", "inner", "most"), { recursive: true });
  assert.equal(removeGroup(join(folder, "one")), true);
  assert.equal(removeGroup(join(folder, "one")), true);
});
