import { testUploadLocker } from '../contract/upload-locker-suite.ts';
import { openNode, openRedis, startTestRedis, untilWaiting } from './support/redis-world.ts';

testUploadLocker('redis', async (t, { waitMs }) => {
  const server = await startTestRedis(t);
  const redis = openRedis(t, server.url);
  return {
    openNode: async () => (await openNode(t, server.url, { waitMs })).locker,
    untilWaiting: (uploadId, count) => untilWaiting(redis, uploadId, count),
  };
});
