import assert from 'node:assert/strict';
import {
  ListObjectsCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandInput,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { refused, type SdkCase, sdkTest } from './s3-checks.ts';
import type { OpenTarget } from './s3-suite.ts';
import type { S3Difference } from './s3-target.ts';

/** In the order of their bytes. */
const NAMES = ['Z', 'a-', 'a/1', 'a/10', 'a/2', 'a/b/c', 'b', 'd/e', 'd/f', 'z & <x>', 'ü'];

export function listContract(open: OpenTarget): void {
  const listTest = (what: string, run: (it: SdkCase) => Promise<void>, unless?: S3Difference) =>
    sdkTest(
      open,
      what,
      async (it) => {
        for (const name of [...NAMES].reverse()) {
          await it.client.send(new PutObjectCommand({ Bucket: it.bucket, Key: it.prefix + name, Body: name }));
        }
        await run(it);
      },
      unless,
    );

  listTest('objects are listed in the order of their keys’ bytes, with size, ETag and date', async (it) => {
    const answer = await list(it, {});
    assert.deepEqual(answer.keys, NAMES);
    assert.equal(answer.raw.KeyCount, NAMES.length);
    assert.equal(answer.raw.IsTruncated, false);
    for (const object of answer.raw.Contents ?? []) {
      assert.equal(object.Size, Buffer.byteLength(object.Key?.slice(it.prefix.length) ?? ''));
      assert.match(object.ETag ?? '', /^"[0-9a-f]{32}"$/);
      assert.ok(object.LastModified instanceof Date);
    }
  });

  listTest('a prefix need not end at a slash', async (it) => {
    assert.deepEqual((await list(it, { Prefix: `${it.prefix}a` })).keys, ['a-', 'a/1', 'a/10', 'a/2', 'a/b/c']);
    assert.deepEqual((await list(it, { Prefix: `${it.prefix}a/1` })).keys, ['a/1', 'a/10']);
    assert.deepEqual((await list(it, { Prefix: `${it.prefix}none` })).keys, []);
  });

  listTest('a delimiter shows what has a common prefix as one', async (it) => {
    const top = await list(it, { Delimiter: '/' });
    assert.deepEqual(top.keys, ['Z', 'a-', 'b', 'z & <x>', 'ü']);
    assert.deepEqual(top.prefixes, ['a/', 'd/']);
    assert.equal(top.raw.KeyCount, 7);
    const inside = await list(it, { Prefix: `${it.prefix}a/`, Delimiter: '/' });
    assert.deepEqual(inside.keys, ['a/1', 'a/10', 'a/2']);
    assert.deepEqual(inside.prefixes, ['a/b/']);
  });

  listTest('pages follow each other without gaps, also across common prefixes', async (it) => {
    for (const Delimiter of [undefined, '/']) {
      const whole = await list(it, { Delimiter });
      const keys: string[] = [];
      const prefixes: string[] = [];
      let ContinuationToken: string | undefined;
      do {
        const page = await list(it, { Delimiter, MaxKeys: 2, ContinuationToken });
        assert.ok(page.keys.length + page.prefixes.length <= 2);
        keys.push(...page.keys);
        prefixes.push(...page.prefixes);
        ContinuationToken = page.raw.NextContinuationToken;
        assert.equal(page.raw.IsTruncated, ContinuationToken !== undefined);
      } while (ContinuationToken !== undefined);
      assert.deepEqual(keys, whole.keys);
      assert.deepEqual(prefixes, whole.prefixes);
    }
  });

  listTest('a list can start after any key, whether it exists or not', async (it) => {
    assert.deepEqual((await list(it, { StartAfter: `${it.prefix}a/2` })).keys, NAMES.slice(5));
    assert.deepEqual((await list(it, { StartAfter: `${it.prefix}a/11` })).keys, NAMES.slice(4));
    assert.deepEqual((await list(it, { StartAfter: `${it.prefix}zzz` })).keys, ['ü']);
  });

  listTest(
    'keys are percent-encoded when that is asked for',
    async (it) => {
      const { raw } = await list(it, { Prefix: `${it.prefix}z`, EncodingType: 'url' });
      const [encoded] = raw.Contents ?? [];
      assert.equal(decodeURIComponent(encoded?.Key?.replaceAll('+', ' ') ?? ''), `${it.prefix}z & <x>`);
      assert.notEqual(encoded?.Key, `${it.prefix}z & <x>`);
    },
    'no-encoding-type',
  );

  listTest('the first version of the list pages by its marker', async ({ client, bucket, prefix }) => {
    const keys: string[] = [];
    const prefixes: string[] = [];
    let Marker: string | undefined;
    do {
      const page = await client.send(
        new ListObjectsCommand({ Bucket: bucket, Prefix: prefix, Delimiter: '/', MaxKeys: 2, Marker }),
      );
      keys.push(...(page.Contents ?? []).map((it) => it.Key?.slice(prefix.length) ?? ''));
      prefixes.push(...(page.CommonPrefixes ?? []).map((it) => it.Prefix?.slice(prefix.length) ?? ''));
      Marker = page.NextMarker;
    } while (Marker !== undefined);
    assert.deepEqual(keys, ['Z', 'a-', 'b', 'z & <x>', 'ü']);
    assert.deepEqual(prefixes, ['a/', 'd/']);
  });

  sdkTest(
    open,
    'an object may have the name of another one’s folder',
    async (it) => {
      for (const name of ['a/b', 'a', 'a/']) {
        await it.client.send(new PutObjectCommand({ Bucket: it.bucket, Key: it.prefix + name, Body: name }));
      }
      assert.deepEqual((await list(it, {})).keys, ['a', 'a/', 'a/b']);
      assert.deepEqual((await list(it, { Delimiter: '/' })).keys, ['a']);
      assert.deepEqual((await list(it, { Prefix: `${it.prefix}a/`, Delimiter: '/' })).keys, ['a/', 'a/b']);
    },
    'keys-are-paths',
  );

  sdkTest(open, 'a limit of nothing lists nothing, one that is no number is refused', async ({ client, bucket }) => {
    const none = await client.send(new ListObjectsV2Command({ Bucket: bucket, MaxKeys: 0 }));
    assert.deepEqual(none.Contents ?? [], []);
    await refused(client.send(new ListObjectsV2Command({ Bucket: bucket, MaxKeys: -1 })), 400, 'InvalidArgument');
  });

  sdkTest(open, 'a list of a bucket that is not there is a 404', async ({ client }) => {
    await refused(client.send(new ListObjectsV2Command({ Bucket: 'contract-not-there' })), 404, 'NoSuchBucket');
  });
}

/** Names as they are below the test's prefix. */
async function list(
  { client, bucket, prefix }: SdkCase,
  query: { [Name in keyof ListObjectsV2CommandInput]?: ListObjectsV2CommandInput[Name] | undefined },
) {
  const raw = await client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, ...query }));
  return {
    raw,
    keys: (raw.Contents ?? []).map((it) => it.Key?.slice(prefix.length) ?? ''),
    prefixes: (raw.CommonPrefixes ?? []).map((it) => it.Prefix?.slice(prefix.length) ?? ''),
  };
}
