import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainFileProblem } from '../../src/file-problem.ts';

test('an error of the file system is a sentence, with its code behind it', () => {
  const missing = Object.assign(new Error('ENOENT: no such file'), { code: 'ENOENT' });
  assert.equal(explainFileProblem(missing), 'a folder on the way there does not exist and cannot be made (ENOENT)');
  assert.equal(explainFileProblem(new Error('something else')), 'something else');
  assert.equal(explainFileProblem('thrown'), 'thrown');
});
