/** One run from one seed: trouble first, then rest, then the question what is left. */
import { MemoryDatabaseServer, type MemoryJob } from '../support/memory-database.ts';
import { contentOf, History, InvariantViolation } from './history.ts';
import { SeededRandom } from './random.ts';
import { NO_FAULTS, type Scenario, scenarioOf } from './scenario.ts';
import { Scheduler } from './scheduler.ts';
import { SimulatedClient } from './simulated-client.ts';
import { messageOf, type NodeSurroundings, SimulatedNode } from './simulated-node.ts';
import { SimulatedBucket } from './simulated-s3.ts';

export interface RunResult {
  seed: number;
  violation: InvariantViolation | null;
  steps: number;
  /** How the upload ended; null: it was never created. */
  state: string | null;
  trace: readonly string[];
}

const UPLOAD_ID = '11111111-1111-4111-8111-111111111111';
const TROUBLE_STEPS = 1_500;
const REST_STEPS = 20_000;
/** After its heartbeat has been missed, a job of a killed process goes back to the queue. */
const JOB_LOST_AFTER_MS = 30_000;
const SWEEP_EVERY_MS = 30_000;
/** Away, back and away again; the rest begins with our storage. One that moves for every question deceives everybody. */
const MAX_MOVES = 3;
/** A suspended machine: longer than anything that the store waits for. */
const LONGEST_PAUSE_MS = 4 * 3_600_000;

export async function runSimulation(seed: number, options: { traces: boolean }): Promise<RunResult> {
  const simulation = new Simulation(seed, options.traces);
  return simulation.run();
}

class Simulation {
  readonly #seed: number;
  readonly #scenario: Scenario;
  readonly #scheduler: Scheduler;
  readonly #server: MemoryDatabaseServer;
  readonly #bucket: SimulatedBucket;
  readonly #history: History;
  readonly #surroundings: NodeSurroundings;
  readonly #contents: readonly Buffer[];
  readonly #nodes: SimulatedNode[] = [];
  #faults = NO_FAULTS;
  #incarnations = 0;
  #clientsAlive = 0;
  #sweeping: Promise<void> | null = null;
  #providerRemoves: number;
  /** Jobs that have run and wait for the queue to note it. */
  readonly #jobsEnding = new Set<number>();
  #nextSweepMs = 0;
  #isWaking = false;

  constructor(seed: number, traces: boolean) {
    this.#seed = seed;
    this.#scenario = scenarioOf(seed);
    this.#providerRemoves = this.#scenario.providerRemoves;
    this.#scheduler = new Scheduler(new SeededRandom(seed + 0x5eed), this.#scenario.jumpChance, traces);
    this.#server = new MemoryDatabaseServer(() => this.#scheduler.nowMs);
    this.#bucket = new SimulatedBucket(this.#scenario);
    this.#contents = Array.from({ length: this.#scenario.contents }, (_, i) =>
      contentOf(i, this.#scenario.lengthBytes),
    );
    this.#history = new History(UPLOAD_ID, this.#bucket, this.#contents);
    this.#server.onCommitted = (_label, before, after) => this.#history.committed(before, after);
    this.#bucket.onChanged = () => this.#history.checkStored();
    this.#bucket.onPartSent = (key, partNumber) => this.#history.partSent(key, partNumber);
    this.#surroundings = {
      scheduler: this.#scheduler,
      server: this.#server,
      bucket: this.#bucket,
      history: this.#history,
      scenario: this.#scenario,
      faults: () => this.#faults,
    };
  }

  async run(): Promise<RunResult> {
    this.#scheduler.say(JSON.stringify(this.#scenario));
    for (let i = 0; i < this.#scenario.nodes; i += 1) this.#nodes.push(this.#startNode());
    try {
      await this.#create();
      await this.#trouble();
      await this.#rest();
    } catch (error) {
      if (!(error instanceof InvariantViolation)) throw error;
    }
    const { violation } = this.#history;
    if (violation !== null) this.#scheduler.say(`VIOLATION ${violation.message}`);
    return {
      seed: this.#seed,
      violation,
      steps: this.#scheduler.steps,
      state: this.#row?.state ?? null,
      trace: this.#scheduler.trace ?? [],
    };
  }

  get #row() {
    return this.#server.tables.uploads.get(UPLOAD_ID);
  }

  #startNode(): SimulatedNode {
    this.#incarnations += 1;
    return new SimulatedNode(`node${this.#incarnations}`, this.#surroundings);
  }

  #client(name: string, content: number): SimulatedClient {
    return new SimulatedClient(name, content, this.#contents[content] as Buffer, {
      scheduler: this.#scheduler,
      history: this.#history,
      uploadId: UPLOAD_ID,
      deferredLengthBytes: this.#scenario.isDeferred ? this.#scenario.lengthBytes : null,
      pickNode: () => this.#pickNode(),
    });
  }

  #pickNode(): SimulatedNode | null {
    const awake = this.#nodes.filter((node) => node.isAlive && node.pausedUntilMs <= this.#scheduler.nowMs);
    return awake.length === 0 ? null : this.#scheduler.random.pick(awake);
  }

  /** The creation itself goes well: without a row there is nothing to look at. Its body may meet trouble. */
  async #create(): Promise<void> {
    const { lengthBytes, isDeferred, createsWithBody } = this.#scenario;
    const [first] = this.#nodes;
    let isKept = false;
    void first
      ?.serve(null, () => first.canary.keep())
      .then(() => {
        isKept = true;
      });
    await this.#stepUntil(() => isKept, 100);
    const creator = this.#client('creator', 0);
    const creating = this.#alive(creator.create(isDeferred ? null : lengthBytes, createsWithBody));
    await this.#stepUntil(() => this.#row !== undefined, 100);
    if (!createsWithBody && lengthBytes > 0) await this.#stepUntil(() => this.#clientsAlive === 0, 100);
    creating.catch(() => {});
  }

  async #trouble(): Promise<void> {
    const { random } = this.#scheduler;
    const { clients, contents, requestsPerClient, kill, pause, sweep, terminate } = this.#scenario;
    this.#faults = this.#scenario.faults;
    const all = Array.from({ length: clients }, (_, i) => this.#client(`client${i}`, i % contents));
    for (const client of all) void this.#alive(client.live(requestsPerClient));
    let moves = 0;
    for (let step = 0; step < TROUBLE_STEPS && this.#clientsAlive > 0; step += 1) {
      if (random.chance(kill)) this.#kill();
      if (random.chance(pause)) this.#pause();
      if (random.chance(sweep)) this.#sweep();
      if (random.chance(terminate)) void this.#alive((all[0] as SimulatedClient).terminate());
      if (random.chance(this.#providerRemoves)) this.#removeAsProvider();
      if (moves < MAX_MOVES && random.chance(this.#scenario.elsewhere)) {
        moves += 1;
        this.#moveStorage(!this.#bucket.isElsewhere);
      }
      this.#runDueJobs();
      if (!(await this.#step())) break;
    }
    if (random.chance(0.3)) this.#kill();
  }

  #kill(): void {
    const place = this.#scheduler.random.between(0, this.#nodes.length - 1);
    const node = this.#nodes[place] as SimulatedNode;
    this.#scheduler.say(`KILL ${node.name}`);
    node.kill();
    this.#nodes[place] = this.#startNode();
  }

  #pause(): void {
    const { random } = this.#scheduler;
    const node = random.pick(this.#nodes);
    const ms = random.anyMagnitude(100, LONGEST_PAUSE_MS);
    this.#scheduler.say(`PAUSE ${node.name} for ${ms} ms`);
    node.pause(ms);
  }

  #removeAsProvider(): void {
    const ours = [...this.#bucket.multiparts].filter(([, { key }]) => key === this.#row?.objectKey);
    if (ours.length === 0) return;
    this.#scheduler.say('PROVIDER removes the multipart upload');
    this.#history.providerRemoved = true;
    for (const [s3UploadId] of ours) this.#bucket.multiparts.delete(s3UploadId);
  }

  #moveStorage(isElsewhere: boolean): void {
    this.#scheduler.say(isElsewhere ? 'S3 is ANOTHER STORAGE' : 'S3 is our storage');
    this.#bucket.isElsewhere = isElsewhere;
  }

  #sweep(): void {
    const node = this.#pickNode();
    if (node === null || this.#sweeping !== null) return;
    this.#scheduler.say(`${node.name} sweeps`);
    this.#sweeping = node
      .sweep()
      .catch((error) => this.#scheduler.say(`${node.name} sweep: ${messageOf(error)}`))
      .finally(() => {
        this.#sweeping = null;
      });
  }

  /** The queue's own bookkeeping goes well: it is pg-boss's. */
  #runDueJobs(): void {
    if (!this.#server.isFree) return;
    for (const job of this.#server.tables.jobs.values()) {
      if (job.state !== 'waiting' || job.startAtMs > this.#scheduler.nowMs || this.#jobsEnding.has(job.jobId)) continue;
      const node = this.#pickNode();
      if (node === null) return;
      this.#server.write('start job', (tables) => tables.jobs.set(job.jobId, { ...job, state: 'active' }));
      this.#scheduler.say(`${node.name} runs job ${job.queue} ${JSON.stringify(job.data)}, attempt ${job.attempt + 1}`);
      node.runJob(job).then(
        () => this.#endJob(job, null),
        (error) => {
          this.#scheduler.say(`${node.name} job failed: ${messageOf(error)}`);
          this.#endJob(job, node.isAlive ? Math.min(60_000, 1_000 * 2 ** job.attempt) : JOB_LOST_AFTER_MS);
        },
      );
    }
  }

  /** @param againAfterMs null: the job is done */
  #endJob(job: MemoryJob, againAfterMs: number | null): void {
    const { nowMs } = this.#scheduler;
    this.#jobsEnding.add(job.jobId);
    this.#scheduler.add({
      label: 'job ends',
      atMs: nowMs,
      owner: null,
      canRun: () => this.#server.isFree,
      run: () => {
        this.#jobsEnding.delete(job.jobId);
        this.#server.write('end job', (tables) => {
          if (againAfterMs === null) tables.jobs.delete(job.jobId);
          else tables.jobs.set(job.jobId, { ...job, attempt: job.attempt + 1, startAtMs: nowMs + againAfterMs });
        });
      },
    });
  }

  /** Nothing fails any more. What is still under way arrives, what has been left behind is found. */
  async #rest(): Promise<void> {
    const { random } = this.#scheduler;
    this.#faults = NO_FAULTS;
    this.#moveStorage(false);
    this.#scheduler.jumpChance = 0;
    this.#scheduler.say('no more faults');
    // Where all of them sleep, somebody starts another one.
    if (this.#pickNode() === null) this.#nodes.push(this.#startNode());
    if (this.#scenario.finishes) {
      const content = random.between(0, this.#scenario.contents - 1);
      const finisher = this.#client('finisher', content);
      let isDone: boolean | null = null;
      void this.#alive(finisher.finish()).then((done) => {
        isDone = done;
      });
      await this.#stepUntil(() => isDone !== null, REST_STEPS);
      if (isDone !== true) this.#history.fail('liveness', 'a client that goes on does not get to the end');
    }
    await this.#stepUntil(() => this.#isQuiet, REST_STEPS);
    this.#throwViolation();
    if (!this.#isQuiet) this.#history.fail('liveness', `no rest: ${this.#whatIsLeft()}`);
    else this.#history.checkRest();
  }

  get #isQuiet(): boolean {
    const { jobs, discards } = this.#server.tables;
    const hasEnded = this.#row === undefined || !['open', 'completing'].includes(this.#row.state);
    return hasEnded && jobs.size === 0 && discards.size === 0 && this.#scheduler.tasks.length === 0;
  }

  #whatIsLeft(): string {
    const { jobs, discards } = this.#server.tables;
    const tasks = this.#scheduler.tasks.map((task) => task.label).join('; ');
    return `${this.#row?.state}, ${jobs.size} jobs, ${discards.size} discards, tasks: ${tasks}`;
  }

  /** Sweepers run, and time goes on to whatever they wait for. */
  #keepHouse(): void {
    if (this.#scheduler.nowMs >= this.#nextSweepMs && this.#sweeping === null) {
      this.#nextSweepMs = this.#scheduler.nowMs + SWEEP_EVERY_MS;
      this.#sweep();
    }
    // A sweep that hangs in a paused process is waited for.
    if (this.#isWaking || this.#isQuiet || this.#sweeping !== null) return;
    this.#isWaking = true;
    const run = () => {
      this.#isWaking = false;
    };
    this.#scheduler.add({ label: 'housekeeping', atMs: this.#nextThingMs(), owner: null, run });
  }

  #nextThingMs(): number {
    const { jobs, discards } = this.#server.tables;
    const { nowMs } = this.#scheduler;
    const sweeps: number[] = [];
    if (this.#row?.state === 'completing') sweeps.push(nowMs);
    if (this.#row?.state === 'open') sweeps.push(this.#row.expiresAtMs);
    for (const { deletedAtMs, recheckAtMs, dueAtMs } of discards.values()) {
      sweeps.push(deletedAtMs === null ? dueAtMs : (recheckAtMs ?? nowMs));
    }
    const times = sweeps.map((ms) => Math.max(ms, this.#nextSweepMs));
    for (const job of jobs.values()) if (job.state === 'waiting') times.push(job.startAtMs);
    for (const node of this.#nodes) if (node.pausedUntilMs > nowMs) times.push(node.pausedUntilMs);
    return Math.max(nowMs + 1, times.length === 0 ? nowMs + SWEEP_EVERY_MS : Math.min(...times));
  }

  async #stepUntil(isThere: () => boolean, steps: number): Promise<void> {
    for (let step = 0; step < steps && !isThere(); step += 1) {
      if (!(await this.#stepAndKeepHouse())) return;
    }
  }

  async #stepAndKeepHouse(): Promise<boolean> {
    const went = await this.#step();
    if (this.#faults === NO_FAULTS && this.#row !== undefined) {
      this.#runDueJobs();
      this.#keepHouse();
    }
    return went || this.#scheduler.tasks.length > 0 || this.#sweeping !== null;
  }

  async #step(): Promise<boolean> {
    const went = await this.#scheduler.step();
    this.#throwViolation();
    return went;
  }

  #throwViolation(): void {
    if (this.#history.violation !== null) throw this.#history.violation;
  }

  #alive<T>(life: Promise<T>): Promise<T> {
    this.#clientsAlive += 1;
    return life.finally(() => {
      this.#clientsAlive -= 1;
    });
  }
}
