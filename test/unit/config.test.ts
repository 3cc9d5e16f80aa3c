import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { test } from 'node:test';
import { withConfigTable } from '../../scripts/config-table.ts';
import { ConfigError, type Environment, loadConfig } from '../../src/config.ts';
import { formatBytes, GIB, MIB, TIB } from '../../src/config-values.ts';

function problemsOf(env: Environment): readonly string[] {
  try {
    loadConfig(env);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems;
  }
  return [];
}

test('with an empty environment everything is embedded and on the loopback address', () => {
  const { config, secrets } = loadConfig({});
  assert.equal(config.host, '127.0.0.1');
  assert.equal(config.port, 8080);
  assert.equal(config.basePath, '/files');
  assert.equal(config.s3.kind, 'embedded');
  assert.equal(config.partBytes, 8 * MIB);
  assert.equal(config.maxUploadBytes, 5 * TIB);
  assert.ok(isAbsolute(config.dataDir));
  assert.deepEqual(secrets, { databaseUrl: null, redisUrl: null, metricsToken: null, s3Credentials: null });
});

test('left alone, only pages of the user’s own machine may use it, and only under names of this machine', () => {
  const { config } = loadConfig({});
  assert.deepEqual([config.corsOrigins, config.allowedHosts], ['local', null]);
  const told = loadConfig({ CORS_ORIGINS: '*', ALLOWED_HOSTS: 'Up.example, up.example:8443,[2001:db8::1]' }).config;
  assert.deepEqual([told.corsOrigins, told.allowedHosts], ['*', ['up.example', 'up.example:8443', '[2001:db8::1]']]);
});

test('an empty value counts as unset', () => {
  assert.equal(loadConfig({ PORT: '', S3_BUCKET: ' ', REDIS_URL: '' }).config.port, 8080);
});

test('one error names every bad variable, with what was expected and what was found', () => {
  const problems = problemsOf({
    PORT: '65536',
    BASE_PATH: '/api/files',
    CORS_ORIGINS: 'https://a.example,nonsense',
    ALLOWED_HOSTS: 'a.example,https://b.example',
    MAX_UPLOAD_BYTES: '5MB',
    LOG_LEVEL: 'loud',
    IDLE_BODY_SECS: '1.5',
  });
  assert.equal(problems.length, 7);
  assert.match(problems.join('\n'), /^PORT: expected a whole number from 0 to 65535, found "65536"$/m);
  for (const name of [
    'BASE_PATH',
    'CORS_ORIGINS',
    'ALLOWED_HOSTS',
    'MAX_UPLOAD_BYTES',
    'LOG_LEVEL',
    'IDLE_BODY_SECS',
  ]) {
    assert.ok(
      problems.some((problem) => problem.startsWith(`${name}: expected `)),
      name,
    );
  }
});

test('the value of a secret is never repeated', () => {
  const problems = problemsOf({ DATABASE_URL: 'mysql://app:hunter2@db/app', METRICS_TOKEN: 'hunter2' });
  assert.match(problems.join('\n'), /^DATABASE_URL: expected a URL like postgres:/m);
  assert.match(problems.join('\n'), /^METRICS_TOKEN: expected 16 to 256 printable characters/m);
  assert.doesNotMatch(problems.join(), /hunter2/);
});

const SHARED = {
  S3_BUCKET: 'uploads',
  DATABASE_URL: 'postgres://relay@db/relay',
};

test('several workers are refused with anything embedded, and are told what belongs to one process', () => {
  const problems = problemsOf({ WORKERS: '4' });
  assert.equal(problems.length, 2);
  for (const [name, why] of [
    ['S3_BUCKET', /embedded S3/],
    ['DATABASE_URL', /embedded database/],
  ] as const) {
    const { [name]: _, ...others } = SHARED;
    const [problem, ...rest] = problemsOf({ WORKERS: '2', ...others }).filter((it) => it.startsWith('WORKERS'));
    assert.deepEqual(rest, []);
    assert.match(problem ?? '', new RegExp(`^WORKERS: expected ${name} to be set`));
    assert.match(problem ?? '', why);
  }
});

test('several workers are refused with the embedded S3 written out, too', () => {
  const [problem, ...rest] = problemsOf({ WORKERS: '2', ...SHARED, S3_BUCKET: 'embedded' });
  assert.match(problem ?? '', /^WORKERS: expected S3_BUCKET .* embedded S3/);
  assert.deepEqual(rest, []);
});

const production: Environment[] = [
  { DATABASE_URL: 'postgres://relay@db/relay' },
  { REDIS_URL: 'redis://redis:6379' },
  { HOST: '0.0.0.0' },
  { HOST: '::' },
  { HOST: '10.0.0.7' },
  { HOST: 'relay.internal' },
];
for (const env of production) {
  const [name] = Object.keys(env);
  test(`${JSON.stringify(env)} is refused without a bucket, and taken with the embedded one written out`, () => {
    const [problem, ...rest] = problemsOf(env);
    assert.match(problem ?? '', new RegExp(`^S3_BUCKET: expected the name of a bucket beside ${name}`));
    assert.match(problem ?? '', /S3_BUCKET=embedded/);
    assert.deepEqual(rest, []);
    assert.equal(loadConfig({ ...env, S3_BUCKET: 'embedded' }).config.s3.kind, 'embedded');
    assert.equal(loadConfig({ ...env, S3_BUCKET: 'uploads' }).config.s3.kind, 'external');
  });
}

for (const HOST of ['127.0.0.1', '127.0.0.2', 'localhost', '::1']) {
  test(`on ${HOST}, which only this machine reaches, nothing need be set`, () => {
    assert.equal(loadConfig({ HOST }).config.s3.kind, 'embedded');
  });
}

for (const misspelled of ['S3_BUKET', 'S3_BUCKTE', 'S3BUCKET', 's3_bucket', 'S3_BUCKETS']) {
  test(`a bucket in ${misspelled} is found where the bucket is missed, and warned of otherwise`, () => {
    const env = { [misspelled]: 'uploads' };
    assert.match(problemsOf({ ...env, DATABASE_URL: 'postgres://relay@db/relay' }).join(), new RegExp(misspelled));
    assert.match(loadConfig(env).warnings.join(), new RegExp(`^${misspelled} is set, .* was S3_BUCKET meant\\?$`));
    assert.deepEqual(loadConfig({ ...env, S3_BUCKET: 'uploads' }).warnings, []);
  });
}

test('no other program’s variables are taken for misspelled ones of ours', () => {
  const others = ['PATH', 'HOME', 'SHELL', 'HOSTNAME', 'POSTGRES_URL', 'AWS_PROFILE', 'AWS_DEFAULT_REGION', 'NODE_ENV'];
  const env = Object.fromEntries([...others, 'npm_config_cache', 'LOGNAME', 'PORTS'].map((name) => [name, 'x']));
  assert.deepEqual(loadConfig(env).warnings, []);
});

test('a service, or a way to reach it, with the embedded S3 is a mistake', () => {
  assert.match(
    problemsOf({ S3_BUCKET: 'embedded', S3_ENDPOINT: 'http://s3:9000' }).join(),
    /^S3_ENDPOINT: expected together with a bucket of your own, found S3_BUCKET=embedded$/,
  );
});

test('leftovers are not looked at again before a late request can be no more', () => {
  assert.equal(loadConfig({}).config.discardRecheckSecs, 3_000);
  assert.equal(loadConfig({ DISCARD_RECHECK_SECS: '7200' }).config.discardRecheckSecs, 7_200);
  assert.match(problemsOf({ DISCARD_RECHECK_SECS: '2999' }).join(), /^DISCARD_RECHECK_SECS: expected .* from 3000 /);
});

test('Postgres without Redis can be used, and the operator is told what that means', () => {
  assert.match(loadConfig(SHARED).warnings.join(), /^REDIS_URL is not set: nodes wait .* through Postgres/);
  assert.deepEqual(loadConfig({ ...SHARED, REDIS_URL: 'redis://redis:6379' }).warnings, []);
  assert.deepEqual(loadConfig({}).warnings, []);
});

test('workers share the memory budget, and each has enough of it', () => {
  const { config } = loadConfig({ WORKERS: '4', BUFFER_BYTES: '100MiB', ...SHARED });
  assert.equal(config.workers, 4);
  assert.equal(config.bufferBytes, 25 * MIB);
  const problems = problemsOf({ WORKERS: '4', BUFFER_BYTES: '63MiB', ...SHARED });
  assert.match(problems.join(), /^BUFFER_BYTES: expected at least 16 MiB for each of 4 workers, found 63 MiB for all$/);
});

const byteTexts: [string, number | null][] = [
  ['5242880', 5 * MIB],
  ['8MiB', 8 * MIB],
  ['8 MiB', 8 * MIB],
  ['0.5GiB', 512 * MIB],
  ['5GiB', 5 * GIB],
  ['4MiB', null],
  ['6GiB', null],
  ['5242881', null],
  ['8MB', null],
  ['8m', null],
  ['-8MiB', null],
  ['0x800000', null],
  ['MiB', null],
];
for (const [value, expected] of byteTexts) {
  test(`PART_BYTES=${value} is ${expected === null ? 'refused' : `${expected} bytes`}`, () => {
    if (expected === null) assert.equal(problemsOf({ PART_BYTES: value }).length, 1);
    else assert.equal(loadConfig({ PART_BYTES: value }).config.partBytes, expected);
  });
}

test('a number of bytes is shown in the form that is read back', () => {
  assert.deepEqual([1, 1000, 1024, 5 * MIB, 1536 * MIB, 50_000 * GIB].map(formatBytes), [
    '1',
    '1000',
    '1KiB',
    '5MiB',
    '1536MiB',
    '50000GiB',
  ]);
});

const basePaths: [string, string | null][] = [
  ['/files/', '/files'],
  ['/a/files', '/a/files'],
  ['/', null],
  ['files', null],
  ['/a//b', null],
  ['/a/../b', null],
  ['/a b', null],
  ['/livez', null],
  ['/assets/x', null],
];
for (const [value, expected] of basePaths) {
  test(`BASE_PATH=${value} is ${expected ?? 'refused'}`, () => {
    if (expected === null) assert.equal(problemsOf({ BASE_PATH: value }).length, 1);
    else assert.equal(loadConfig({ BASE_PATH: value }).config.basePath, expected);
  });
}

const proxies: [string, unknown][] = [
  ['true', true],
  ['false', false],
  ['2', 2],
  ['10.0.0.0/8, loopback', ['10.0.0.0/8', 'loopback']],
  ['fd00::/8', ['fd00::/8']],
  ['10.0.0.0/33', null],
  ['proxy.example', null],
];
for (const [value, expected] of proxies) {
  test(`TRUST_PROXY=${value} is ${expected === null ? 'refused' : 'understood'}`, () => {
    if (expected === null) assert.equal(problemsOf({ TRUST_PROXY: value }).length, 1);
    else assert.deepEqual(loadConfig({ TRUST_PROXY: value }).config.trustProxy, expected);
  });
}

test('a bucket of one’s own brings its endpoint and credentials along', () => {
  const { config, secrets } = loadConfig({
    S3_BUCKET: 'uploads',
    S3_ENDPOINT: 'https://s3.example.com/',
    S3_KEY_PREFIX: 'team/a',
    AWS_REGION: 'eu-central-1',
    AWS_ACCESS_KEY_ID: 'id',
    AWS_SECRET_ACCESS_KEY: 'key',
  });
  assert.deepEqual(config.s3, {
    kind: 'external',
    bucket: 'uploads',
    profile: 'generic',
    endpoint: 'https://s3.example.com',
    region: 'eu-central-1',
    forcePathStyle: true,
    payloadSigning: 'auto',
  });
  assert.equal(config.s3KeyPrefix, 'team/a/');
  assert.deepEqual(secrets.s3Credentials, { accessKeyId: 'id', secretAccessKey: 'key' });
});

test('AWS itself is addressed by bucket name in the host', () => {
  const { s3 } = loadConfig({ S3_BUCKET: 'uploads' }).config;
  assert.equal(s3.kind === 'external' && s3.forcePathStyle, false);
});

test('the profile of a service fills in what is not set, and what is set wins', () => {
  const scaleway = loadConfig({ S3_BUCKET: 'uploads', S3_ENDPOINT: 'https://s3.example', S3_PROFILE: 'scaleway' });
  assert.equal(scaleway.config.s3MaxParts, 1_000);
  assert.equal(loadConfig({ S3_BUCKET: 'uploads' }).config.s3MaxParts, 10_000);
  const { config } = loadConfig({ S3_BUCKET: 'uploads', S3_PROFILE: 'scaleway', S3_MAX_PARTS: '5000' });
  assert.equal(config.s3MaxParts, 5_000);
});

const addressing: [Environment, boolean][] = [
  [{}, false],
  [{ S3_ENDPOINT: 'https://s3.example' }, true],
  [{ S3_ENDPOINT: 'https://s3.example', S3_PROFILE: 'aws' }, false],
  [{ S3_ENDPOINT: 'https://s3.example', S3_PROFILE: 'aws', S3_FORCE_PATH_STYLE: 'true' }, true],
  [{ S3_ENDPOINT: 'https://s3.example', S3_PROFILE: 'minio' }, true],
  [{ S3_ENDPOINT: 'https://s3.example', S3_PROFILE: 'minio', S3_FORCE_PATH_STYLE: 'false' }, false],
];
for (const [env, expected] of addressing) {
  test(`with ${JSON.stringify(env)} a bucket is ${expected ? 'in the path' : 'in the host name'}`, () => {
    const { s3 } = loadConfig({ S3_BUCKET: 'uploads', ...env }).config;
    assert.equal(s3.kind === 'external' && s3.forcePathStyle, expected);
  });
}

test('an unknown service is a mistake that lists the known ones', () => {
  assert.match(
    problemsOf({ S3_BUCKET: 'uploads', S3_PROFILE: 'azure' }).join(),
    /^S3_PROFILE: expected one of .*minio/,
  );
  assert.match(problemsOf({ S3_PROFILE: 'minio' }).join(), /^S3_PROFILE: .*S3_BUCKET/);
});

test('an endpoint without a bucket, and half a pair of credentials, are mistakes', () => {
  assert.match(problemsOf({ S3_ENDPOINT: 'http://localhost:9000' }).join(), /^S3_ENDPOINT: .*S3_BUCKET/);
  assert.match(
    problemsOf({ S3_BUCKET: 'uploads', AWS_ACCESS_KEY_ID: 'id' }).join(),
    /^AWS_SECRET_ACCESS_KEY: expected together with AWS_ACCESS_KEY_ID/,
  );
});

test('the machine’s own AWS account is left alone while the embedded S3 is in use', () => {
  const env = { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'key' };
  assert.equal(loadConfig(env).secrets.s3Credentials, null);
  assert.deepEqual(problemsOf({ AWS_ACCESS_KEY_ID: 'id' }), []);
});

test('the README’s table is the one that the schema makes', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  assert.equal(readme, withConfigTable(readme), 'run: npm run docs:config');
});
