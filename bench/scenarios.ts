import type { HeadLoad, Load, UploadLoad, WaitingLoad } from './load/load.ts';

export interface Scenario {
  /** What `--scenario` takes. */
  readonly name: string;
  readonly title: string;
  readonly load: Load;
  /** Compiles the code paths and opens the connections; not measured. */
  readonly warmUp: Load;
  /** Done once through the counting proxy; as many requests for each upload as in {@link load}. */
  readonly counted: Load;
  /** What CPU time is told for. */
  readonly unit: 'GiB' | 'upload' | 'HEAD' | 'client';
  /** null: as many as the run asks for. */
  readonly rounds: number | null;
  /** Budget for part buffers that our server is given; null: its default. */
  readonly bufferBytes: number | null;
  /** Further variables of our server. */
  readonly variables?: Readonly<Record<string, string>>;
}

export const MIB = 1024 * 1024;
export const GIB = 1024 * MIB;
const KIB = 1024;

/** @param quick everything smaller, to see that it works: its figures are no good for comparing */
export function scenarios(quick: boolean): Scenario[] {
  const scaled = (count: number, quickly: number) => (quick ? quickly : count);
  return [
    oneFile('one-patch', scaled(1024, 32), null),
    oneFile('8-mib-patches', scaled(512, 32), 8),
    oneFile('1-mib-patches', scaled(128, 8), 1),
    smallUploads('small', scaled(2000, 60), false),
    smallUploads('small-with-creation', scaled(2000, 60), true),
    heads(scaled(2000, 100)),
    slowClients('slow-300', scaled(300, 20), scaled(12, 1)),
    slowClients('slow-1000', scaled(1000, 50), scaled(6, 1)),
    waitingClients('waiting-1000', scaled(1000, 50)),
    waitingClients('waiting-3000', scaled(3000, 100)),
  ];
}

/** @param patchMib null: all of it in one PATCH */
function oneFile(name: string, mib: number, patchMib: number | null): Scenario {
  const load = uploads({ uploads: 1, bytes: mib * MIB, patchBytes: (patchMib ?? mib) * MIB });
  return {
    name,
    title: patchMib === null ? `One PATCH of ${mib} MiB` : `${mib} MiB in PATCHes of ${patchMib} MiB`,
    load,
    warmUp: { ...load, bytes: 32 * MIB, patchBytes: Math.min(load.patchBytes, 32 * MIB) },
    counted: load,
    unit: 'GiB',
    rounds: null,
    bufferBytes: null,
  };
}

function smallUploads(name: string, count: number, withCreation: boolean): Scenario {
  const load = uploads({ uploads: count, bytes: 64 * KIB, patchBytes: 64 * KIB, withCreation, concurrency: 16 });
  return {
    name,
    title: `${count} uploads of 64 KiB, 16 at a time, ${withCreation ? 'one POST with the body' : 'POST and PATCH'}`,
    load,
    warmUp: { ...load, uploads: Math.ceil(count / 4) },
    counted: { ...load, uploads: 20 },
    unit: 'upload',
    rounds: null,
    bufferBytes: null,
  };
}

function heads(count: number): Scenario {
  const load: HeadLoad = { kind: 'heads', requests: count, concurrency: 16 };
  return {
    name: 'head',
    title: `${count} HEADs of an open upload, 16 at a time`,
    load,
    warmUp: { ...load, requests: Math.ceil(count / 4) },
    counted: { ...load, requests: 20 },
    unit: 'HEAD',
    rounds: null,
    bufferBytes: null,
  };
}

function slowClients(name: string, clients: number, mib: number): Scenario {
  const load = uploads({
    uploads: clients,
    bytes: mib * MIB,
    patchBytes: mib * MIB,
    concurrency: clients,
    bytesPerSec: MIB,
  });
  return {
    name,
    title: `${clients} clients at about 1 MiB/s, ${mib} MiB each`,
    load,
    warmUp: { ...load, uploads: 8, concurrency: 8, bytesPerSec: null },
    counted: { ...load, uploads: 8, concurrency: 8, bytesPerSec: null },
    unit: 'GiB',
    rounds: 1,
    bufferBytes: 128 * MIB,
  };
}

/** The smallest budget that can be set: what is not counted by it shows best. */
function waitingClients(name: string, clients: number): Scenario {
  const load: WaitingLoad = { kind: 'waiting', clients, bytes: 64 * MIB };
  return {
    name,
    title: `${clients} clients that wait, since S3 takes nothing`,
    load,
    warmUp: uploads({ uploads: 200, bytes: 64 * KIB, patchBytes: 64 * KIB, concurrency: 16 }),
    counted: load,
    unit: 'client',
    rounds: 1,
    bufferBytes: 16 * MIB,
    // Little goes to the disk, so that they wait soon; and S3 is not given up meanwhile.
    variables: { SPILL_BYTES: '256MiB', S3_CALL_SECS: '900', IDLE_BODY_SECS: '900' },
  };
}

function uploads(load: Partial<UploadLoad> & Pick<UploadLoad, 'uploads' | 'bytes' | 'patchBytes'>): UploadLoad {
  return { kind: 'uploads', withCreation: false, concurrency: 1, bytesPerSec: null, ...load };
}
