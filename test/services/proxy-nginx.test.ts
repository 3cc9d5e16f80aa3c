/** docs/nginx.md, run as it is written. */
import { test } from 'node:test';
import { startDocumentedNginx } from './support/documented-nginx.ts';
import { holdsBehindProxy, tellsToComeAgain } from './support/proxy-suite.ts';

test('behind nginx', (t) => holdsBehindProxy(t, startDocumentedNginx));

test('behind nginx, with no node up', (t) => tellsToComeAgain(t, startDocumentedNginx));
