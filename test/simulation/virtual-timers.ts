/**
 * The relay's own timers (the heartbeat of a writer, the patience with a silent body) run in simulated time: inside a
 * simulated process the global timer functions make tasks of its scheduler, anywhere else they are the real ones.
 */
import crypto, { type UUID } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { type SimulatedContext, simulatedContext, type Task } from './scheduler.ts';

class VirtualTimer {
  readonly #context: SimulatedContext;
  readonly #callback: () => void;
  readonly #everyMs: number;
  readonly #repeats: boolean;
  #task: Task | null = null;

  constructor(context: SimulatedContext, callback: () => void, everyMs: number, repeats: boolean) {
    this.#context = context;
    this.#callback = callback;
    this.#everyMs = everyMs;
    this.#repeats = repeats;
    this.refresh();
  }

  refresh(): this {
    this.clear();
    const { scheduler, process } = this.#context;
    this.#task = scheduler.add({
      label: 'timer',
      atMs: scheduler.nowMs + this.#everyMs,
      owner: process,
      run: () => {
        this.#task = null;
        if (this.#repeats) this.refresh();
        simulatedContext.run(this.#context, this.#callback);
      },
    });
    return this;
  }

  clear(): void {
    if (this.#task !== null) this.#context.scheduler.remove(this.#task);
    this.#task = null;
  }

  unref(): this {
    return this;
  }
}

/** Puts them in place for the life of this process. Chance follows the scheduler's seed, too: `randomUUID`. */
export function installVirtualTimers(): void {
  const real = { setTimeout, setInterval, clearTimeout, clearInterval };
  const startTimer =
    (start: (callback: () => void, ms?: number) => unknown, repeats: boolean) =>
    (callback: () => void, ms?: number) => {
      const context = simulatedContext.getStore();
      return context === undefined ? start(callback, ms) : new VirtualTimer(context, callback, ms ?? 0, repeats);
    };
  const clearTimer = (clear: (timer?: NodeJS.Timeout) => void) => (timer?: unknown) => {
    if (timer instanceof VirtualTimer) timer.clear();
    else clear(timer as NodeJS.Timeout);
  };
  Object.assign(globalThis, {
    setTimeout: startTimer(real.setTimeout, false),
    setInterval: startTimer(real.setInterval, true),
    clearTimeout: clearTimer(real.clearTimeout),
    clearInterval: clearTimer(real.clearInterval),
  });
  const realUuid = crypto.randomUUID;
  crypto.randomUUID = (options) =>
    (simulatedContext.getStore()?.scheduler.random.uuid() as UUID | undefined) ?? realUuid(options);
  syncBuiltinESMExports();
}
