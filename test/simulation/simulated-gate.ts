import { DatabaseUnavailableError } from '../../src/catalog/database-errors.ts';
import type { StatementGate } from '../support/memory-database.ts';
import type { FaultRates } from './scenario.ts';
import type { Scheduler, SimulatedProcess } from './scheduler.ts';

/** A statement whose caller has given up may still be carried out for so long. */
const LATEST_STATEMENT_MS = 120_000;
/** As `idle_in_transaction_session_timeout`: a process that sleeps does not hold the rows of others for ever. */
export const IDLE_TRANSACTION_MS = 15_000;

/**
 * The way from one process to the database: a statement is sent, carried out and answered in three picks of the
 * scheduler, and each of the three can fail.
 */
export class SimulatedGate implements StatementGate {
  readonly #scheduler: Scheduler;
  readonly #process: SimulatedProcess;
  readonly #faults: () => FaultRates;

  constructor(scheduler: Scheduler, process: SimulatedProcess, faults: () => FaultRates) {
    this.#scheduler = scheduler;
    this.#process = process;
    this.#faults = faults;
  }

  pass<T>(
    kind: 'read' | 'write' | 'begin' | 'inside' | 'commit',
    label: string,
    canRun: () => boolean,
    execute: () => T,
    abandon: () => void = () => {},
  ): Promise<T> {
    const scheduler = this.#scheduler;
    const sender = this.#process;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const fate = this.#fate(kind);
    const isDurable = kind === 'write' || kind === 'commit';
    const answer = (how: string, settle: () => void) => {
      scheduler.add({
        label: `${sender.name} ← db ${label}: ${how}`,
        atMs: scheduler.nowMs,
        owner: sender,
        run: () => {
          scheduler.say(`${sender.name} ← db ${label}: ${how}`);
          settle();
        },
      });
    };
    const fail = (outcome: 'refused' | 'unknown') =>
      answer(outcome, () => reject(new DatabaseUnavailableError(outcome, `simulated: ${label}`)));
    if (kind === 'commit') sender.abandonTransaction = null;
    if (fate === 'refused' || fate === 'never') {
      if (kind === 'commit') abandon();
      fail(fate === 'refused' ? 'refused' : 'unknown');
      return promise;
    }
    if (fate === 'late') fail('unknown');
    const delayMs = fate === 'late' ? scheduler.random.anyMagnitude(10, LATEST_STATEMENT_MS) : 0;
    scheduler.add({
      label: `${sender.name} → db ${label}`,
      atMs: scheduler.nowMs + delayMs,
      owner: null,
      wire: {
        sender,
        deadlineMs: scheduler.nowMs + LATEST_STATEMENT_MS,
        inKill: isDurable ? 'perhaps' : 'lost',
        onDropped: abandon,
      },
      canRun,
      run: () => {
        try {
          const result = execute();
          if (kind === 'begin') {
            sender.abandonTransaction = abandon;
            if (sender.pausedUntilMs - scheduler.nowMs > IDLE_TRANSACTION_MS) abandon();
          }
          scheduler.say(`${sender.name} → db ${label}${fate === 'late' ? ' (late)' : ''} = ${shown(result)}`);
          if (fate === 'lost') fail('unknown');
          else if (fate === 'ok') answer('ok', () => resolve(result));
        } catch (error) {
          scheduler.say(`${sender.name} → db ${label}: ${(error as Error).message}`);
          if (fate !== 'late') answer('error', () => reject(error));
        }
      },
    });
    return promise;
  }

  #fate(kind: 'read' | 'write' | 'begin' | 'inside' | 'commit'): 'ok' | 'refused' | 'never' | 'lost' | 'late' {
    const { random } = this.#scheduler;
    const faults = this.#faults();
    if (kind !== 'commit' && random.chance(faults.databaseRefused)) return 'refused';
    if (random.chance(faults.databaseNever)) return kind === 'begin' ? 'refused' : 'never';
    if (kind !== 'write' && kind !== 'commit') return 'ok';
    if (random.chance(faults.databaseLost)) return 'lost';
    return random.chance(faults.databaseLate) ? 'late' : 'ok';
  }
}

function shown(result: unknown): string {
  if (result === undefined) return 'done';
  return JSON.stringify(result, (key, value) => (HIDDEN.has(key) ? undefined : value));
}

const HIDDEN = new Set([
  'owner',
  'metadata',
  'protocol',
  'createdAt',
  'expiresAt',
  'detectedType',
  'uploadId',
  'overdue',
]);
