import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { S3_KINDS, type S3Kind } from './services/s3-service.ts';

export interface Options {
  readonly quick: boolean;
  /** Most rounds of a scenario. */
  readonly rounds: number;
  /** Names; empty: all. */
  readonly scenarios: readonly string[];
  readonly servers: readonly string[];
  /** null: the first that can be had. */
  readonly s3: S3Kind | null;
  /** Of our server. */
  readonly payloadSigning: 'auto' | 'signed';
  /** Where our server writes CPU profiles; null: it is not profiled. */
  readonly profileFolder: string | null;
}

export const USAGE = `Usage: npm run bench -- [options]
  --quick                    smaller loads, one round: ends within a minute, for a look only
  --scenario NAME            only this one; may be repeated
  --server NAME              only this one; may be repeated
  --rounds N                 rounds of each scenario (3)
  --s3 ${S3_KINDS.join('|')}   the S3 server; unset: the first that can be had
  --payload-signing signed   our server signs what it sends
  --profile FOLDER           our server writes CPU profiles there, and the report says where its time went`;

/** @throws Error with one sentence for whoever typed it */
export function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      scenario: { type: 'string', multiple: true, default: [] },
      server: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string' },
      s3: { type: 'string' },
      'payload-signing': { type: 'string', default: 'auto' },
      profile: { type: 'string' },
    },
  });
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 3));
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new Error(`--rounds: expected a number from 1, found ${values.rounds}`);
  const s3 = values.s3 === undefined ? null : (S3_KINDS.find((kind) => kind === values.s3) ?? undefined);
  if (s3 === undefined) throw new Error(`--s3: expected one of ${S3_KINDS.join(', ')}, found ${values.s3}`);
  const payloadSigning = values['payload-signing'];
  if (payloadSigning !== 'auto' && payloadSigning !== 'signed') {
    throw new Error(`--payload-signing: expected auto or signed, found ${payloadSigning}`);
  }
  return {
    quick: values.quick,
    rounds,
    scenarios: values.scenario,
    servers: values.server,
    s3,
    payloadSigning,
    profileFolder: values.profile === undefined ? null : resolve(values.profile),
  };
}

/** @throws Error when a name is not one of them */
export function choose<T extends { readonly name: string }>(
  what: string,
  all: readonly T[],
  names: readonly string[],
): T[] {
  const known = all.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`--${what}: expected one of ${known.join(', ')}, found ${unknown}`);
  return all.filter(({ name }) => names.length === 0 || names.includes(name));
}
