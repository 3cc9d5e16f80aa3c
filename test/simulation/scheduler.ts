/**
 * The simulation's event loop: nothing happens but what the scheduler picks, one task after the other, and between two
 * picks every promise that can move moves. Time is a number that is moved when there is nothing to do, or on a whim.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate as afterAllMicrotasks } from 'node:timers/promises';
import type { SeededRandom } from './random.ts';

/** What dies in a kill and stands still in a pause: one operating-system process. */
export interface SimulatedProcess {
  readonly name: string;
  isAlive: boolean;
  pausedUntilMs: number;
  /** Rolls back the transaction that it is in. */
  abandonTransaction: (() => void) | null;
}

export interface Task {
  readonly label: string;
  atMs: number;
  /** What the task happens in; null: outside of all processes (the wire, a server, a client). */
  readonly owner: SimulatedProcess | null;
  /** For what has been sent: who sent it, and until when it happens at the latest. */
  readonly wire?: {
    readonly sender: SimulatedProcess;
    readonly deadlineMs: number;
    /**
     * What becomes of it in its sender's kill. lost: it changes nothing without its sender. perhaps: lost, as sent, or
     * late. kept: the server is at work already, and goes on.
     */
    readonly inKill: 'lost' | 'perhaps' | 'kept';
    /** Called when it was lost on the way in its sender's kill. */
    readonly onDropped?: () => void;
  };
  readonly canRun?: () => boolean;
  readonly run: () => void;
}

export class Scheduler {
  readonly random: SeededRandom;
  nowMs = 1_000;
  steps = 0;
  /** Chance that time jumps ahead although there is something to do: then everything under way is slow. */
  jumpChance: number;
  /** Called after each step. */
  onStep: () => void = () => {};
  readonly trace: string[] | null;
  #tasks: Task[] = [];

  constructor(random: SeededRandom, jumpChance: number, traces: boolean) {
    this.random = random;
    this.jumpChance = jumpChance;
    this.trace = traces ? [] : null;
  }

  get tasks(): readonly Task[] {
    return this.#tasks;
  }

  say(line: string): void {
    this.trace?.push(`${String(this.steps).padStart(5)} ${(this.nowMs / 1000).toFixed(3).padStart(12)}s  ${line}`);
  }

  add(task: Task): Task {
    this.#tasks.push(task);
    return task;
  }

  remove(task: Task): void {
    const place = this.#tasks.indexOf(task);
    if (place >= 0) this.#tasks.splice(place, 1);
  }

  /** @returns a promise of `ms` of simulated time */
  sleep(ms: number, owner: SimulatedProcess | null, label = 'sleep'): Promise<void> {
    return new Promise((resolve) => this.add({ label, atMs: this.nowMs + ms, owner, run: resolve }));
  }

  /** Runs one task. @returns false when there is none that could ever run */
  async step(): Promise<boolean> {
    await afterAllMicrotasks();
    this.#tasks = this.#tasks.filter((task) => task.owner?.isAlive !== false);
    const due = this.#due();
    let task = due.length === 0 || this.random.chance(this.jumpChance) ? null : this.random.pick(due);
    if (task === null) {
      let now: Task[];
      do {
        if (!this.#jump(due.length > 0) && due.length === 0) return false;
        now = this.#due();
      } while (now.length === 0);
      task = this.random.pick(now);
    }
    this.steps += 1;
    this.remove(task);
    task.run();
    await afterAllMicrotasks();
    this.onStep();
    return true;
  }

  #due(): Task[] {
    const due = this.#tasks.filter((task) => readyAt(task) <= this.nowMs && task.canRun?.() !== false);
    const overdue = due.filter((task) => task.wire !== undefined && task.wire.deadlineMs <= this.nowMs);
    return overdue.length > 0 ? overdue : due;
  }

  /** To the next task in time, or on a whim to any later one; never past the end of what is on the wire. */
  #jump(isWhim: boolean): boolean {
    let earliest = Number.POSITIVE_INFINITY;
    let end = Number.POSITIVE_INFINITY;
    const later: number[] = [];
    for (const task of this.#tasks) {
      // What is past its deadline waits for somebody's transaction.
      const { deadlineMs } = task.wire ?? { deadlineMs: 0 };
      if (deadlineMs > this.nowMs) end = Math.min(end, deadlineMs);
      const ready = readyAt(task);
      if (ready <= this.nowMs) continue;
      earliest = Math.min(earliest, ready);
      later.push(ready);
    }
    if (later.length === 0) return false;
    const target = isWhim ? this.random.pick(later) : earliest;
    this.nowMs = Math.min(target, end);
    return true;
  }
}

function readyAt(task: Task): number {
  return Math.max(task.atMs, task.owner?.pausedUntilMs ?? 0);
}

/** In which process, and for which client's content, the running code works. */
export interface SimulatedContext {
  readonly scheduler: Scheduler;
  readonly process: SimulatedProcess;
  /** Index of the content that the request brings; null: not a client's request. */
  readonly content: number | null;
}

export const simulatedContext = new AsyncLocalStorage<SimulatedContext>();
