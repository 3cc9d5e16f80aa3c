import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wakefulNow } from '../../src/relay/clock.ts';

const HOUR_MS = 3_600_000;

/** A machine with its two clocks. */
class Machine {
  monotonicMs = 5;
  wallMs = 1_800_000_000_000;
  readonly now = wakefulNow(
    () => this.monotonicMs,
    () => this.wallMs,
  );

  work(ms: number): void {
    this.monotonicMs += ms;
    this.wallMs += ms;
  }

  sleep(ms: number): void {
    this.wallMs += ms;
  }

  setWall(byMs: number): void {
    this.wallMs += byMs;
  }
}

function elapsed(machine: Machine, happens: () => void): number {
  const before = machine.now();
  happens();
  return machine.now() - before;
}

test('time awake is counted once, whatever the wall clock’s resolution', () => {
  const machine = new Machine();
  const total = elapsed(machine, () => {
    for (let step = 0; step < 10_000; step++) {
      machine.monotonicMs += 0.1;
      if (step % 10 === 9) machine.wallMs += 1;
      machine.now();
    }
  });
  assert.ok(Math.abs(total - 1_000) < 1e-6, String(total));
});

test('a machine that slept finds that time has passed', () => {
  const machine = new Machine();
  assert.equal(
    elapsed(machine, () => machine.sleep(HOUR_MS)),
    HOUR_MS,
  );
  const mixed = elapsed(machine, () => {
    machine.work(2_000);
    machine.sleep(HOUR_MS);
    machine.work(3_000);
  });
  assert.equal(mixed, HOUR_MS + 5_000);
});

test('a wall clock that is set back takes nothing away, also of a later sleep', () => {
  const machine = new Machine();
  const set = elapsed(machine, () => {
    machine.work(90_000);
    machine.setWall(-HOUR_MS);
  });
  assert.equal(set, 90_000);
  assert.equal(
    elapsed(machine, () => machine.sleep(HOUR_MS)),
    HOUR_MS,
  );
});

test('the small steps with which a wall clock is kept right are no sleep', () => {
  const machine = new Machine();
  const steered = elapsed(machine, () => {
    for (let second = 0; second < 10_000; second++) {
      machine.work(1_000);
      machine.setWall(0.5);
      machine.now();
    }
  });
  assert.equal(steered, 10_000_000);
});
