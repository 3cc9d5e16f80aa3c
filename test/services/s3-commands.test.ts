/** `npm run s3:check` and `npm run s3:bootstrap` on the embedded S3 and on real servers, whole and with one thing denied. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { GetBucketCorsCommand, PutBucketCorsCommand } from '@aws-sdk/client-s3';
import { runCommand } from '../support/run-command.ts';
import {
  createTestBucket,
  environmentOf,
  openTestBucket,
  S3_KINDS,
  startS3Service,
  TEST_BUCKET,
} from '../support/services/s3-kinds.ts';
import { startVersitygw } from '../support/services/start-versitygw.ts';
import { type Denied, startDenyingProxy } from './support/denying-proxy.ts';

const PAGE = 'https://app.example';

const check = (env: Record<string, string>, ...args: string[]) => runCommand('src/commands/s3-check.ts', env, args);
const bootstrap = (env: Record<string, string>, ...args: string[]) =>
  runCommand('src/commands/s3-bootstrap.ts', env, args);

test('with nothing set, the check tries the embedded S3 in a folder of its own, and finds all it needs', async () => {
  const { code, stdout, stderr } = await check({}, '--origin', PAGE);
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /embedded S3 server/);
  assert.doesNotMatch(stdout, /does not work|not needed|Could not be removed/);
});

for (const kind of S3_KINDS) {
  test(`${kind.profile}: a missing bucket is made by the bootstrap, then has all that is needed, and is left empty`, async (t) => {
    const server = await startS3Service(t, kind);
    if (server === null) return;
    const env = environmentOf(kind, server);
    const missing = await check(env);
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /There is no bucket "service-test" .*s3:bootstrap -- --create/);
    assert.equal((await bootstrap(env, '--origin', PAGE)).code, 1, 'creates nothing that it was not asked for');

    const made = await bootstrap(env, '--create', '--origin', PAGE);
    assert.equal(made.code, 0, made.stdout + made.stderr);
    assert.match(made.stdout, /Bucket service-test: created\./);
    const again = await bootstrap(env, '--create', '--origin', PAGE);
    assert.equal(again.code, 0, again.stdout + again.stderr);
    assert.match(again.stdout, /Bucket service-test: is there already\.[\s\S]*(nothing was changed)/);

    const { code, stdout, stderr } = await check(env, '--origin', PAGE);
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /Everything that is needed works\.\n$/);
    assert.match(stdout, /works +CORS of the bucket +for https:\/\/app\.example/);
    assert.doesNotMatch(stdout, /Other than the profile/, 'the profile is right about the service');
    const bucket = openTestBucket(t, server);
    assert.deepEqual((await bucket.listObjects('')).objects, []);
    assert.deepEqual((await bucket.listMultipartUploadsUnder('')).uploads, []);
  });
}

test('a page that the bucket does not know is missed only where it is asked for', async (t) => {
  const versity = await startVersityBucket(t);
  if (versity === null) return;
  const { env } = versity;
  assert.equal((await check(env)).code, 0);
  const { code, stdout } = await check(env, '--origin', PAGE);
  assert.equal(code, 1);
  assert.match(stdout, /does not work +CORS of the bucket +pages of https:\/\/app\.example are not let in/);
});

test('the bootstrap keeps the rules of others, and replaces its own', async (t) => {
  const versity = await startVersityBucket(t);
  if (versity === null) return;
  const { env, bucket } = versity;
  const other = { ID: 'others', AllowedOrigins: ['https://old.example'], AllowedMethods: ['GET'] };
  await bucket.client.send(
    new PutBucketCorsCommand({ Bucket: TEST_BUCKET, CORSConfiguration: { CORSRules: [other] } }),
  );
  assert.equal((await bootstrap(env, '--origin', 'https://first.example')).code, 0);
  assert.equal((await bootstrap(env, '--origin', PAGE, '--origin', 'https://b.example')).code, 0);
  const { CORSRules = [] } = await bucket.client.send(new GetBucketCorsCommand({ Bucket: TEST_BUCKET }));
  assert.deepEqual(
    CORSRules.map((rule) => rule.AllowedOrigins),
    [['https://old.example'], [PAGE, 'https://b.example']],
  );
});

const denials: [what: string, denied: Denied, missing: RegExp, permission: RegExp][] = [
  ['PutObject', (method, url) => method === 'PUT' && !url.search.includes('uploadId'), /PutObject/, /s3:PutObject/],
  ['GetObject', (method, url) => method === 'GET' && url.pathname.endsWith('/object'), /GetObject/, /s3:GetObject/],
  ['DeleteObject', isDelete, /DeleteObjects/, /s3:DeleteObject/],
  ['abort', (method) => method === 'DELETE', /AbortMultipartUpload/, /s3:AbortMultipartUpload/],
  [
    'ListMultipartUploads',
    (method, url) => method === 'GET' && url.searchParams.has('uploads'),
    /ListMultipartUploads of one key/,
    /s3:ListBucketMultipartUploads/,
  ],
  ['ListBucket', isList, /ListObjectsV2/, /s3:ListBucket on the bucket/],
];
for (const [what, denied, missing, permission] of denials) {
  test(`a bucket that denies ${what}: the check says so, names the permission, and ends with 1`, async (t) => {
    const versity = await startVersityBucket(t);
    if (versity === null) return;
    const { env, endpoint } = versity;
    const proxy = await startDenyingProxy(t, endpoint, denied);
    const { code, stdout, stderr } = await check({ ...env, S3_ENDPOINT: proxy.endpoint });
    assert.equal(code, 1, stdout + stderr);
    const [, lacking = '', named = ''] =
      /Permissions that our credentials lack:\n([\s\S]*)Needed, and does not work: (.*)\.\n$/.exec(stdout) ?? [];
    assert.match(lacking, permission, stdout);
    assert.match(named, missing, stdout);
  });
}

test('a service that wants signed payloads only: the check says which variable to set', async (t) => {
  const versity = await startVersityBucket(t);
  if (versity === null) return;
  const { env, endpoint } = versity;
  const proxy = await startDenyingProxy(t, endpoint, null);
  proxy.deny((method, _url, headers) => method === 'PUT' && headers['x-amz-content-sha256'] === 'UNSIGNED-PAYLOAD');
  const { code, stdout } = await check({ ...env, S3_ENDPOINT: proxy.endpoint });
  assert.equal(code, 1);
  assert.match(stdout, /PutObject, payload unsigned .*Set S3_PAYLOAD_SIGNING=signed/);
  const signed = await check({ ...env, S3_ENDPOINT: proxy.endpoint, S3_PAYLOAD_SIGNING: 'signed' });
  assert.equal(signed.code, 0, signed.stdout);
});

const mistakes: [command: typeof check, args: string[], says: RegExp][] = [
  [check, ['--nonsense'], /--nonsense[\s\S]*Usage: npm run s3:check/],
  [check, ['--origin', 'app.example'], /expected an origin like https:\/\/app\.example\.com/],
  [bootstrap, [], /expected --create, --origin or both[\s\S]*Usage: npm run s3:bootstrap/],
];
for (const [command, args, says] of mistakes) {
  test(`${JSON.stringify(args)} is turned away with the usage`, async () => {
    const { code, stderr } = await command({}, ...args);
    assert.equal(code, 2);
    assert.match(stderr, says);
  });
}

/** @returns null when it is not installed: the test is skipped then */
async function startVersityBucket(t: TestContext) {
  const kind = { profile: 'versitygw', start: startVersitygw } as const;
  const server = await startS3Service(t, kind);
  assert.ok(
    server !== null,
    'versitygw is not installed: go install github.com/versity/versitygw/cmd/versitygw@latest',
  );
  return { bucket: await createTestBucket(t, server), endpoint: server.endpoint, env: environmentOf(kind, server) };
}

function isDelete(method: string, url: URL): boolean {
  return method === 'POST' ? url.searchParams.has('delete') : method === 'DELETE' && !url.searchParams.has('uploadId');
}

function isList(method: string, url: URL): boolean {
  return method === 'GET' && url.searchParams.has('list-type');
}
