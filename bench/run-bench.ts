import type { Load } from './load/load.ts';
import { LoadProcess } from './load/load-process.ts';
import { Pattern } from './load/pattern.ts';
import { CountingProxy } from './measure/counting-proxy.ts';
import { residentBytesOf } from './measure/process-tree.ts';
import { measureUsage } from './measure/usage.ts';
import { verifyStored } from './measure/verify.ts';
import type { Options } from './options.ts';
import { median, type Outcome, type Round } from './outcome.ts';
import type { Scenario } from './scenarios.ts';
import type { Preparation, RunningServer, ServerKind, Settings } from './servers/server-kind.ts';
import { Bucket } from './services/bucket.ts';
import type { PostgresService } from './services/postgres.ts';
import type { S3Service } from './services/s3-service.ts';
import type { Workshop } from './services/workshop.ts';

export interface Bench {
  readonly workshop: Workshop;
  readonly s3: S3Service;
  readonly postgres: PostgresService | null;
  readonly options: Options;
  /** Tells whoever waits what is going on. */
  say(text: string): void;
}

/** A server that runs, and the bucket that it stores in. */
interface Session {
  readonly kind: ServerKind;
  readonly title: string;
  readonly server: RunningServer;
  readonly bucket: Bucket;
  /** null: it talks to S3 without a detour. */
  readonly proxy: CountingProxy | null;
  /** Uploads to it failed: what it does from then on is no measure. */
  problem: string | null;
}

const EDGE_PATCHES = 10;

/**
 * Every scenario on every server. The servers of a scenario run side by side, idle ones costing nothing, and take turns
 * round by round, so that what the machine does meanwhile befalls all alike.
 *
 * @returns the outcomes of one or more scenarios at a time
 */
export async function* runBench(
  bench: Bench,
  kinds: readonly ServerKind[],
  list: readonly Scenario[],
): AsyncGenerator<Outcome[]> {
  const runner = new Runner(bench, await prepareAll(bench, kinds));
  // A quick run has no time to start everything anew for each scenario.
  const [waiting, others] = [list.filter(isWaiting), list.filter((scenario) => !isWaiting(scenario))];
  const groups = bench.options.quick
    ? [others, ...waiting.map((scenario) => [scenario])]
    : list.map((scenario) => [scenario]);
  for (const group of groups) if (group.length > 0) yield await runner.run(group);
}

async function prepareAll({ postgres, say }: Bench, kinds: readonly ServerKind[]): Promise<Prepared[]> {
  const prepared: Prepared[] = [];
  for (const kind of kinds) {
    const preparation = await kind.prepare(postgres);
    if (preparation === null) say(`${kind.name} cannot be had on this machine`);
    else prepared.push({ kind, preparation });
  }
  return prepared;
}

interface Prepared {
  readonly kind: ServerKind;
  readonly preparation: Preparation;
}

class Runner {
  readonly #bench: Bench;
  readonly #prepared: readonly Prepared[];
  readonly #load: LoadProcess;
  readonly #pattern = new Pattern();
  #buckets = 0;

  constructor(bench: Bench, prepared: readonly Prepared[]) {
    this.#bench = bench;
    this.#prepared = prepared;
    this.#load = new LoadProcess(bench.workshop);
  }

  /** @param group scenarios for which the servers are started once */
  async run(group: readonly Scenario[]): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    const only = group.length === 1 ? group[0] : undefined;
    const memory = { bufferBytes: only?.bufferBytes ?? null, variables: only?.variables ?? {} };
    const waits = group.some(isWaiting);
    const timed = await this.#startAll(memory, waits);
    for (const scenario of group) outcomes.push(...(await this.#timeAll(scenario, timed)));
    await Promise.all(timed.map(endSession));
    // They end nothing, so there is nothing to count.
    if (waits) return outcomes;
    const counted = await this.#startAll(memory, true);
    for (const scenario of group) {
      for (const session of counted) {
        const outcome = outcomes.find((it) => it.scenario === scenario && it.server === session.kind.name);
        if (outcome?.problem === null) await this.#count(session, outcome);
      }
    }
    await Promise.all(counted.map(endSession));
    return outcomes;
  }

  /** One after the other: a start takes the whole machine. */
  async #startAll(memory: Pick<Settings, 'bufferBytes' | 'variables'>, isCounted: boolean): Promise<Session[]> {
    const { workshop, postgres, options } = this.#bench;
    const settings: Settings = {
      signsPayloads: options.payloadSigning === 'signed',
      ...memory,
      profileFolder: isCounted ? null : options.profileFolder,
    };
    const sessions: Session[] = [];
    for (const { kind, preparation } of this.#prepared) {
      const bucket = await Bucket.create(this.#bench.s3, `bench-${++this.#buckets}`);
      const proxy = isCounted ? await CountingProxy.start(this.#bench.s3.endpoint) : null;
      const s3 = proxy === null ? this.#bench.s3 : { ...this.#bench.s3, endpoint: proxy.endpoint };
      const server = await preparation.start({ workshop, bucket: bucket.name, s3, postgres, settings });
      sessions.push({ kind, title: preparation.title, server, bucket, proxy, problem: null });
    }
    return sessions;
  }

  async #timeAll(scenario: Scenario, sessions: readonly Session[]): Promise<Outcome[]> {
    const outcomes = sessions.map(({ kind, title, problem }): Outcome => {
      return { scenario, server: kind.name, title, rounds: [], requests: null, problem };
    });
    const rounds = Math.min(scenario.rounds ?? Number.POSITIVE_INFINITY, this.#bench.options.rounds);
    for (let round = 0; round < rounds; round++) {
      for (const [index, session] of sessions.entries()) {
        const outcome = outcomes[index];
        if (outcome === undefined || session.problem !== null) continue;
        this.#bench.say(`${scenario.name}: ${session.kind.name}, round ${round + 1} of ${rounds}`);
        try {
          if (round === 0) await this.#load.run(scenario.warmUp, session.server.endpoint);
          outcome.rounds.push(await this.#time(scenario.load, session));
          await session.bucket.empty();
        } catch (error) {
          this.#fail(session, outcome, error);
        }
      }
    }
    return outcomes;
  }

  async #time(load: Load, { server, bucket, proxy }: Session): Promise<Round> {
    const isWaiting = load.kind === 'waiting';
    if (isWaiting) proxy?.hold();
    const idleBytes = isWaiting ? residentBytesOf(server.pid) : null;
    const { result, usage } = await measureUsage(server.pid, server.databasePid, () =>
      this.#load.run(load, server.endpoint),
    );
    await verifyStored(result.uploads, (upload) => server.objectKeysOf(upload), bucket, this.#pattern);
    const hasEdges = load.kind === 'uploads' && load.uploads === 1 && result.latenciesMs.length >= 2 * EDGE_PATCHES;
    return {
      ...usage,
      idleBytes,
      firstPatchesMs: hasEdges ? median(result.latenciesMs.slice(0, EDGE_PATCHES)) : null,
      lastPatchesMs: hasEdges ? median(result.latenciesMs.slice(-EDGE_PATCHES)) : null,
    };
  }

  async #count(session: Session, outcome: Outcome): Promise<void> {
    const { counted } = outcome.scenario;
    if (counted.kind === 'waiting') return;
    try {
      if (counted.kind === 'uploads') {
        const counts = await this.#requestsOf(counted, session);
        outcome.requests = perUnit(counts, new Map(), counted.uploads);
      } else {
        // To have something to ask for, it first makes an upload: that is not part of a HEAD.
        const preparing = await this.#requestsOf({ ...counted, requests: 0 }, session);
        outcome.requests = perUnit(await this.#requestsOf(counted, session), preparing, counted.requests);
      }
      await session.bucket.empty();
    } catch (error) {
      this.#fail(session, outcome, error);
    }
  }

  async #requestsOf(load: Load, { server, proxy }: Session): Promise<ReadonlyMap<string, number>> {
    if (proxy === null) throw new Error('requests are only counted by a proxy');
    await proxy.counts(); // what it did before is over
    proxy.reset();
    await this.#load.run(load, server.endpoint);
    return await proxy.counts();
  }

  #fail(session: Session, outcome: Outcome, error: unknown): void {
    if (this.#bench.workshop.isClosed) throw error; // not the server's fault
    session.problem = error instanceof Error ? error.message : String(error);
    outcome.problem = session.problem;
    this.#bench.say(
      `${outcome.scenario.name}: ${session.kind.name} failed: ${session.problem}\n${session.server.lastLines().join('\n')}`,
    );
  }
}

function isWaiting({ load }: Scenario): boolean {
  return load.kind === 'waiting';
}

async function endSession({ server, bucket, proxy }: Session): Promise<void> {
  await server.stop();
  proxy?.close();
  await bucket.empty();
  bucket.close();
}

function perUnit(
  counts: ReadonlyMap<string, number>,
  without: ReadonlyMap<string, number>,
  units: number,
): ReadonlyMap<string, number> {
  const pairs = [...counts].map(([name, count]) => [name, (count - (without.get(name) ?? 0)) / units] as const);
  return new Map(pairs.filter(([, count]) => count !== 0));
}
