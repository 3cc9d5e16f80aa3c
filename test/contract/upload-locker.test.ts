import { MemoryLocker } from '../../src/locks/memory-locker.ts';
import { testUploadLocker } from './upload-locker-suite.ts';

testUploadLocker('memory', async (_t, { waitMs }) => {
  const locker = new MemoryLocker(waitMs);
  return {
    openNode: async () => locker,
    // In one process who asks is in the queue at once.
    untilWaiting: async () => {},
  };
});
