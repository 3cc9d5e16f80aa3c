/** Counts what a server does to its two stores, and ends its process at one of these steps. */
import { writeSync } from 'node:fs';
import {
  type Kysely,
  type KyselyPlugin,
  type PluginTransformQueryArgs,
  type PluginTransformResultArgs,
  RawNode,
  type RootOperationNode,
} from 'kysely';
import type { Database, Trx } from '../../../src/catalog/database.ts';
import type { Schema } from '../../../src/catalog/schema.ts';
import type { S3ObjectStorage } from '../../../src/s3/s3-object-storage.ts';

/**
 * before: nothing of the step is done. after: it is done, and the server does not know: the reply or the commit's answer
 * is the last thing that its process gets.
 */
export type Moment = 'before' | 'after';

/** Calls of {@link S3ObjectStorage} that are no calls to S3. */
const NO_CALLS = new Set(['close']);

/** Statements of the sweeper's regular turns, which come at any time and mostly find nothing: not steps of a story. */
const HOUSEKEEPING = /catalog_identity|^delete from uploads\b/i;

export class StepProbe {
  #count = 0;
  #killAt: { step: number; moment: Moment } | null = null;

  /** Steps are counted from here, the next one is 1. */
  arm(step: number, moment: Moment): void {
    this.#count = 0;
    this.#killAt = { step, moment };
  }

  begin(name: string): number {
    this.#count += 1;
    if (this.#killAt?.moment === 'before') this.#die(this.#count, name);
    return this.#count;
  }

  end(step: number, name: string): void {
    if (this.#killAt?.moment === 'after') this.#die(step, name);
  }

  #die(step: number, name: string): void {
    if (this.#killAt?.step !== step) return;
    // Not through a stream: that would be written at the next turn of the loop, which does not come.
    writeSync(2, `killed ${this.#killAt.moment} step ${step}: ${name}\n`);
    process.kill(process.pid, 'SIGKILL');
  }
}

/** The storage, each of whose calls is a step. */
export function probeStorage(storage: S3ObjectStorage, probe: StepProbe): S3ObjectStorage {
  return new Proxy(storage, {
    get(target, property) {
      const member = Reflect.get(target, property, target);
      if (typeof member !== 'function') return member;
      const method = member.bind(target);
      if (NO_CALLS.has(String(property))) return method;
      return async (...args: unknown[]) => {
        const step = probe.begin(String(property));
        const reply = await method(...args);
        probe.end(step, String(property));
        return reply;
      };
    },
  });
}

/** The database, each of whose commits is a step: a statement outside a transaction that may write, or a transaction that did. */
export function probeDatabase(database: Database, probe: StepProbe): Database {
  return {
    ...database,
    db: database.db.withPlugin(new StatementProbe(probe)) as Kysely<Schema>,
    async transaction(work) {
      const writes = new WriteWatch();
      let step: number | null = null;
      const result = await database.transaction(async (trx) => {
        const done = await work(trx.withPlugin(writes) as Trx);
        step = writes.seen ? probe.begin('transaction') : null;
        return done;
      });
      if (step !== null) probe.end(step, 'transaction');
      return result;
    },
  };
}

class StatementProbe implements KyselyPlugin {
  readonly #probe: StepProbe;
  readonly #steps = new WeakMap<object, { step: number; name: string }>();

  constructor(probe: StepProbe) {
    this.#probe = probe;
  }

  transformQuery({ node, queryId }: PluginTransformQueryArgs): RootOperationNode {
    const name = describe(node);
    if (!/^select/i.test(name) && !HOUSEKEEPING.test(name))
      this.#steps.set(queryId, { step: this.#probe.begin(name), name });
    return node;
  }

  async transformResult({ result, queryId }: PluginTransformResultArgs) {
    const begun = this.#steps.get(queryId);
    if (begun !== undefined) this.#probe.end(begun.step, begun.name);
    return result;
  }
}

/** Notes whether a transaction has changed or locked any row: one that found nothing to do commits nothing. */
class WriteWatch implements KyselyPlugin {
  seen = false;

  transformQuery({ node }: PluginTransformQueryArgs): RootOperationNode {
    return node;
  }

  async transformResult({ result }: PluginTransformResultArgs) {
    if (result.rows.length > 0 || (result.numAffectedRows ?? 0n) > 0n) this.seen = true;
    return result;
  }
}

/** The first words of a statement. */
function describe(node: RootOperationNode): string {
  if (!RawNode.is(node)) return node.kind;
  return node.sqlFragments.join('?').trim().replace(/\s+/g, ' ').slice(0, 60);
}
