import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import { inspect } from 'node:util';
import { S3Error } from '../../src/s3/s3-errors.ts';
import { answerError, answerXml, startFakeS3 } from '../support/fake-s3-server.ts';

const XML = '<?xml version="1.0" encoding="UTF-8"?>\n';
const PARTS = [{ partNumber: 1, etag: '"p1"' }];

function isS3Error(expected: Partial<S3Error>): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof S3Error, String(error));
    for (const [name, value] of Object.entries(expected)) {
      assert.deepEqual(error[name as keyof S3Error], value, `${name} of: ${error.message}`);
    }
    return true;
  };
}

test('Complete that answers 200 with an error document has an unknown outcome', async (t) => {
  for (const padding of ['', ' \n  ', '\n']) {
    const xml = `${XML}${padding}<Error><Code>InternalError</Code><Message>again</Message></Error>${padding}`;
    const s3 = await startFakeS3(t, answerXml(xml));
    await assert.rejects(
      s3.storage().completeMultipartUpload('k', 'id', PARTS),
      isS3Error({ operation: 'CompleteMultipartUpload', outcome: 'unknown', retryable: true }),
    );
    assert.equal(s3.requests.length, 1); // no hidden retry
  }
});

test('Complete that answers 200 with nothing has an unknown outcome', async (t) => {
  const s3 = await startFakeS3(t, (_req, res) => res.writeHead(200).end());
  await assert.rejects(
    s3.storage().completeMultipartUpload('k', 'id', PARTS),
    isS3Error({ outcome: 'unknown', retryable: true }),
  );
});

test('Complete keeps the connection alive with white space and then gives the ETag', async (t) => {
  const s3 = await startFakeS3(t, (_req, res) => {
    res.writeHead(200, { 'content-type': 'application/xml' });
    res.write(XML);
    for (let i = 0; i < 3; i++) res.write('   \n');
    res.end('<CompleteMultipartUploadResult><ETag>&quot;whole-1&quot;</ETag></CompleteMultipartUploadResult>');
  });
  assert.deepEqual(await s3.storage().completeMultipartUpload('k', 'id', PARTS), { etag: '"whole-1"' });
  assert.match(s3.requests[0]?.body.toString() ?? '', /<ETag>(&quot;|")p1(&quot;|")<\/ETag>.*<PartNumber>1</);
});

test('what S3 refuses is refused, with its code, after one attempt', async (t) => {
  for (const [status, code] of [
    [400, 'InvalidPart'],
    [404, 'NoSuchUpload'],
    [403, 'AccessDenied'],
  ] as const) {
    const s3 = await startFakeS3(t, answerError(status, code));
    await assert.rejects(
      s3.storage().completeMultipartUpload('k', 'id', PARTS),
      isS3Error({ s3Code: code, httpStatus: status, outcome: 'refused', retryable: false }),
    );
  }
});

test('a 5xx is tried once by the SDK too', async (t) => {
  const s3 = await startFakeS3(t, answerError(503, 'SlowDown'));
  await assert.rejects(
    s3.storage().createMultipartUpload('k', {}),
    isS3Error({ s3Code: 'SlowDown', outcome: 'unknown', retryable: true }),
  );
  assert.equal(s3.requests.length, 1);
});

test('a copy that answers 200 with an error document has an unknown outcome, and names its source encoded', async (t) => {
  const s3 = await startFakeS3(t, answerXml(`${XML}<Error><Code>InternalError</Code></Error>`));
  await assert.rejects(s3.storage().uploadPartCopy('k', 'id', 2, 'a b/ü+'), isS3Error({ outcome: 'unknown' }));
  assert.equal(s3.requests[0]?.headers['x-amz-copy-source'], 'test-bucket/a%20b/%C3%BC%2B');
});

test('many objects are deleted by one request with a Content-MD5 and no other checksum', async (t) => {
  const s3 = await startFakeS3(t, answerXml(`${XML}<DeleteResult><Deleted><Key>a</Key></Deleted></DeleteResult>`));
  await s3.storage().deleteObjects(['a', 'b']);
  const [request] = s3.requests;
  assert.equal(
    request?.headers['content-md5'],
    createHash('md5')
      .update(request?.body ?? '')
      .digest('base64'),
  );
  const checksums = Object.keys(request?.headers ?? {}).filter((name) => name.includes('checksum'));
  assert.deepEqual(checksums, []);
});

test('only what the answer names as deleted is deleted', async (t) => {
  const s3 = await startFakeS3(
    t,
    answerXml(
      `${XML}<DeleteResult><Deleted><Key>gone</Key></Deleted>` +
        '<Error><Key>kept</Key><Code>AccessDenied</Code></Error>' +
        '<Error><Key>never was</Key><Code>NoSuchKey</Code></Error></DeleteResult>',
    ),
  );
  const { failedKeys } = await s3.storage().deleteObjects(['gone', 'kept', 'never was', 'not mentioned']);
  assert.deepEqual(failedKeys, ['kept', 'not mentioned']);
});

test('more than 1,000 objects take several requests', async (t) => {
  const s3 = await startFakeS3(t, (_req, res, { body }) => {
    const keys = [...body.toString().matchAll(/<Key>([^<]*)<\/Key>/g)].map((match) => match[1]);
    res.writeHead(200, { 'content-type': 'application/xml' });
    res.end(`<DeleteResult>${keys.map((key) => `<Deleted><Key>${key}</Key></Deleted>`).join('')}</DeleteResult>`);
  });
  const keys = Array.from({ length: 2_100 }, (_, n) => `k/${n}`);
  assert.deepEqual(await s3.storage().deleteObjects(keys), { failedKeys: [] });
  assert.equal(s3.requests.length, 3);
});

test('a service without batch delete is asked for one object after the other, and not for a batch again', async (t) => {
  const s3 = await startFakeS3(t, (req, res, recorded) => {
    if (req.method === 'POST') answerError(501, 'NotImplemented')(req, res, recorded);
    else if (req.url?.includes('kept')) answerError(403, 'AccessDenied')(req, res, recorded);
    else res.writeHead(204).end();
  });
  const storage = s3.storage();
  assert.deepEqual(await storage.deleteObjects(['a', 'kept', 'b']), { failedKeys: ['kept'] });
  assert.deepEqual(await storage.deleteObjects(['c', 'd']), { failedKeys: [] });
  assert.equal(s3.requests.filter((request) => request.method === 'POST').length, 1);
});

test('without batch delete, a service that fails for all of a group is not asked about the rest', async (t) => {
  const s3 = await startFakeS3(t, (req, res, recorded) =>
    (req.method === 'POST' ? answerError(501, 'NotImplemented') : answerError(503, 'SlowDown'))(req, res, recorded),
  );
  const keys = Array.from({ length: 100 }, (_, n) => `k/${n}`);
  await assert.rejects(s3.storage().deleteObjects(keys), { s3Code: 'SlowDown' });
  assert.ok(s3.requests.length < 20, `${s3.requests.length} requests`);
});

test('nothing to delete takes no request', async (t) => {
  const s3 = await startFakeS3(t, answerError(500, 'InternalError'));
  assert.deepEqual(await s3.storage().deleteObjects([]), { failedKeys: [] });
  assert.equal(s3.requests.length, 0);
});

test('parts are listed through all pages', async (t) => {
  const part = (n: number) => `<Part><PartNumber>${n}</PartNumber><ETag>"e${n}"</ETag><Size>${n * 10}</Size></Part>`;
  const s3 = await startFakeS3(t, (req, res) => {
    const first = !req.url?.includes('part-number-marker');
    const page = first
      ? `<IsTruncated>true</IsTruncated><NextPartNumberMarker>2</NextPartNumberMarker>${part(1)}${part(2)}`
      : `<IsTruncated>false</IsTruncated>${part(3)}`;
    res.writeHead(200).end(`${XML}<ListPartsResult>${page}</ListPartsResult>`);
  });
  assert.deepEqual(await s3.storage().listParts('k', 'id'), [
    { partNumber: 1, etag: '"e1"', bytes: 10 },
    { partNumber: 2, etag: '"e2"', bytes: 20 },
    { partNumber: 3, etag: '"e3"', bytes: 30 },
  ]);
  assert.match(s3.requests[1]?.url ?? '', /part-number-marker=2/);
});

test('a list whose pages do not go on is an error, not an endless loop', async (t) => {
  const s3 = await startFakeS3(
    t,
    answerXml(`${XML}<ListPartsResult><IsTruncated>true</IsTruncated></ListPartsResult>`),
  );
  await assert.rejects(s3.storage().listParts('k', 'id'), isS3Error({ s3Code: 'IncompleteAnswer' }));
});

test('multipart uploads of longer keys are not taken for ones of this key', async (t) => {
  const upload = (key: string, id: string) => `<Upload><Key>${key}</Key><UploadId>${id}</UploadId></Upload>`;
  const s3 = await startFakeS3(t, (req, res) => {
    const first = !req.url?.includes('key-marker');
    const page = first
      ? `<IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker>${upload('k', '1')}`
      : `<IsTruncated>true</IsTruncated><NextKeyMarker>k.tail</NextKeyMarker><NextUploadIdMarker>3</NextUploadIdMarker>${upload('k', '2')}${upload('k.tail', '3')}`;
    res.writeHead(200).end(`${XML}<ListMultipartUploadsResult>${page}</ListMultipartUploadsResult>`);
  });
  assert.deepEqual(await s3.storage().listMultipartUploads('k'), [
    { s3UploadId: '1', initiated: null },
    { s3UploadId: '2', initiated: null },
  ]);
  assert.equal(s3.requests.length, 2); // what follows the key in order cannot be the key
});

test('what is missing is told apart from a missing bucket', async (t) => {
  const noKey = (await startFakeS3(t, answerError(404, 'NoSuchKey'))).storage();
  assert.equal(await noKey.getObject('k'), null);
  assert.equal(await noKey.headObject('k'), null);
  const noUpload = (await startFakeS3(t, answerError(404, 'NoSuchUpload'))).storage();
  assert.equal(await noUpload.listParts('k', 'id'), null);
  assert.equal(await noUpload.abortMultipartUpload('k', 'id'), 'missing');
  const noBucket = (await startFakeS3(t, answerError(404, 'NoSuchBucket'))).storage();
  for (const call of [
    () => noBucket.getObject('k'),
    () => noBucket.listParts('k', 'id'),
    () => noBucket.abortMultipartUpload('k', 'id'),
  ]) {
    await assert.rejects(call, isS3Error({ s3Code: 'NoSuchBucket' }));
  }
});

test('a download that is cut fails its reader', async (t) => {
  const s3 = await startFakeS3(t, (req, res) => {
    res.writeHead(200, { 'content-length': '100', etag: '"x"' });
    res.write('half', () => req.socket.destroy());
  });
  const opened = await s3.storage().getObject('k');
  assert.equal(opened?.bytes, 100);
  await assert.rejects(async () => {
    for await (const _ of opened?.body ?? []);
  });
});

test('an error shows no key, no token and no signature, however deep one looks', async (t) => {
  const s3 = await startFakeS3(t, answerError(403, 'SignatureDoesNotMatch'));
  const credentials = { accessKeyId: 'AKIA-test', secretAccessKey: 'the-secret', sessionToken: 'the-session-token' };
  const storage = s3.storage({ credentials });
  for (const call of [
    () => storage.createMultipartUpload('k', {}),
    () => storage.putObject('k', { bytes: 1, read: () => [Buffer.from('x')] }, {}),
  ]) {
    const error = await call().catch((thrown: unknown) => thrown);
    const shown = inspect(error, { depth: 20, showHidden: true });
    assert.match(shown, /SignatureDoesNotMatch/);
    assert.doesNotMatch(shown, /the-secret|the-session-token|Signature=/);
  }
});
