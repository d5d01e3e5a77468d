import assert from "node:assert/strict";
import { test } from "node:test";
import { MachineLoad, parseProcStat, spareBetween } from "./machine-load.ts";

const stat = `cpu  100 20 30 400 50 1 2 3 40 4
cpu0 50 10 15 200 25 0 1 1 20 2
cpu1 50 10 15 200 25 1 1 2 20 2
intr 12345 0 0
ctxt 99
`;

test("the kernel's sums are read: idle, waiting and nice time are to spare, guest time counts once", () => {
  assert.deepEqual(parseProcStat(stat), { spare: 470, total: 606, cores: 2 });
  for (const text of ["", "intr 1 2 3\n", "cpu  1 2\ncpu0 1 2\n", "cpu  x y z u v\ncpu0 1\n"]) {
    assert.equal(parseProcStat(text), null, text);
  }
});

test("spare cores are the spare part of what all cores had since the last look", () => {
  const table: [number, number, number, number][] = [
    // spare and total since, cores, spare cores
    [0, 100, 2, 0],
    [50, 100, 2, 1],
    [100, 100, 2, 2],
    [75, 100, 16, 12],
    [0, 0, 2, Infinity],
    [-5, 100, 2, 0], // idle time is known to step back
  ];
  for (const [spare, total, cores, expected] of table) {
    assert.equal(
      spareBetween({ spare: 10, total: 10, cores }, { spare: 10 + spare, total: 10 + total, cores }),
      expected,
    );
  }
});

test("nothing is known at the first look, nor at the first after a pause", () => {
  const load = new MachineLoad();
  assert.ok([Number.POSITIVE_INFINITY, 0].includes(load.spareCores()));
  assert.ok(load.spareCores() >= 0);
  load.forget();
  assert.ok([Number.POSITIVE_INFINITY, 0].includes(load.spareCores()));
});
