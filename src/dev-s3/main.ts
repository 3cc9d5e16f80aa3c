/**
 * dev-s3 as a process of its own, for crash tests and benchmarks: `node src/dev-s3/main.ts`, settings in the
 * environment. When it is ready it prints one line of JSON: `{"url", "accessKeyId", "secretAccessKey", "region"}`.
 */
import { z } from 'zod';
import { StartError } from '../errors.ts';
import { loadOrCreateCredentials } from './credentials.ts';
import { type DevS3Options, startDevS3 } from './dev-s3-server.ts';

const ENVIRONMENT = z.object({
  /** 0: any free one. */
  DEV_S3_PORT: z.coerce.number().int().min(0).max(65_535).default(0),
  DEV_S3_DATA_DIR: z.string().min(1).default('.data/s3'),
  /** Both or none: without them the keys are those of the data folder. */
  DEV_S3_ACCESS_KEY_ID: z.string().min(1).exactOptional(),
  DEV_S3_SECRET_ACCESS_KEY: z.string().min(1).exactOptional(),
  DEV_S3_REGION: z.string().min(1).default('us-east-1'),
  /** A bucket to make when it is missing. */
  DEV_S3_BUCKET: z.string().min(1).exactOptional(),
  DEV_S3_CONTROL_TOKEN: z.string().min(1).exactOptional(),
  DEV_S3_SECOND_COMPLETE: z.enum(['same-etag', 'no-such-upload']).default('same-etag'),
});

try {
  await main();
} catch (error) {
  process.stderr.write(`dev-s3: ${error instanceof StartError ? error.message : (error as Error).stack}\n`);
  process.exit(1);
}

async function main(): Promise<void> {
  const options = readOptions(process.env);
  const server = await startDevS3(options);
  // A second signal ends the process as if nobody listened.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void server.close());
  const ready = { url: server.url, ...options.credentials, region: options.region };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
  process.stderr.write('dev-s3: running, for development only\n');
}

function readOptions(environment: NodeJS.ProcessEnv): DevS3Options {
  const parsed = ENVIRONMENT.safeParse(environment);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    throw new StartError(problems.join('; '));
  }
  const settings = parsed.data;
  const dataDir = settings.DEV_S3_DATA_DIR;
  const { DEV_S3_ACCESS_KEY_ID: accessKeyId, DEV_S3_SECRET_ACCESS_KEY: secretAccessKey } = settings;
  if ((accessKeyId === undefined) !== (secretAccessKey === undefined)) {
    throw new StartError('DEV_S3_ACCESS_KEY_ID and DEV_S3_SECRET_ACCESS_KEY go together: set both or none');
  }
  return {
    port: settings.DEV_S3_PORT,
    dataDir,
    credentials:
      accessKeyId === undefined || secretAccessKey === undefined
        ? loadOrCreateCredentials(dataDir)
        : { accessKeyId, secretAccessKey },
    region: settings.DEV_S3_REGION,
    secondComplete: settings.DEV_S3_SECOND_COMPLETE,
    buckets: settings.DEV_S3_BUCKET === undefined ? [] : [settings.DEV_S3_BUCKET],
    ...(settings.DEV_S3_CONTROL_TOKEN === undefined ? {} : { controlToken: settings.DEV_S3_CONTROL_TOKEN }),
    log: (message, error) => {
      process.stderr.write(`dev-s3: ${message}: ${error instanceof Error ? error.stack : String(error)}\n`);
    },
  };
}
