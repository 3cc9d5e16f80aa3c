import assert from 'node:assert/strict';
import test from 'node:test';
import { TransportError } from '../../src/s3/http-transport.ts';
import { parseErrorBody } from '../../src/s3/s3-error-body.ts';
import { errorOfPreparation, errorOfThrown } from '../../src/s3/s3-errors.ts';

test('code and message are read from the error document, in whatever order and namespace', () => {
  const xml =
    '<?xml version="1.0"?><Error xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Message>a &lt;b&gt; &amp; c</Message>' +
    '<Resource>/k</Resource><Code> SlowDown </Code></Error>';
  assert.deepEqual(parseErrorBody(xml), { code: 'SlowDown', message: 'a <b> & c' });
});

test('what is no error document has no code', () => {
  for (const text of ['', 'Bad Gateway', '<html><Code>x</Code></html>', '<Error><Code></Code></Error>']) {
    assert.equal(parseErrorBody(text).code, null, text);
  }
});

test('an error without an answer is unknown, except where no connection came about', () => {
  const reset = errorOfThrown('PutObject', new TransportError('ECONNRESET', 'reset', true));
  assert.deepEqual([reset.outcome, reset.retryable, reset.status], ['unknown', true, 503]);
  const unfound = errorOfThrown('PutObject', new TransportError('ENOTFOUND', 'not found', false));
  assert.deepEqual([unfound.outcome, unfound.retryable, unfound.status], ['refused', true, 503]);
  const odd = errorOfThrown('PutObject', new Error('cannot parse'));
  assert.deepEqual([odd.outcome, odd.retryable], ['unknown', true]);
  assert.equal(errorOfThrown('PutObject', 'a string').outcome, 'unknown');
});

test('an answer that was a success but could not be understood is unknown', () => {
  const error = Object.assign(new SyntaxError('bad xml'), { $metadata: { httpStatusCode: 200 } });
  const { outcome, retryable, httpStatus } = errorOfThrown('CompleteMultipartUpload', error);
  assert.deepEqual({ outcome, retryable, httpStatus }, { outcome: 'unknown', retryable: true, httpStatus: 200 });
});

test('credentials that could not be fetched were not used: nothing was sent, and they may come back', () => {
  const error = Object.assign(new Error('role is gone'), { name: 'CredentialsProviderError' });
  for (const { outcome, retryable, s3Code } of [errorOfThrown('Complete', error), errorOfPreparation('Put', error)]) {
    assert.deepEqual({ outcome, retryable, s3Code }, { outcome: 'refused', retryable: true, s3Code: error.name });
  }
});

test('an S3Error passes through unchanged', () => {
  const error = errorOfThrown('PutObject', new TransportError('ECONNRESET', 'reset', true));
  assert.equal(errorOfThrown('Other', error), error);
});
