import type { ObjectStorage } from '../s3/object-storage.ts';
import type { StorageEvidence } from './storage-canary.ts';

/** Of a few missing files it is asked once. */
const EVIDENCE_LASTS_MS = 10_000;

type Reads = Pick<ObjectStorage, 'getObject' | 'headObject'>;

/**
 * Reads of finished files: that an object is not there is said only of the storage that it was written to. Of another
 * one it is a StorageElsewhereError, so that no client and no job takes a file for gone.
 */
export function evidentReads(storage: Reads, evidence: Pick<StorageEvidence, 'demand'>): Reads {
  return {
    async headObject(key, options) {
      const found = await storage.headObject(key, options);
      if (found === null) await evidence.demand(EVIDENCE_LASTS_MS, options);
      return found;
    },
    async getObject(key, range, options) {
      const opened = await storage.getObject(key, range, options);
      if (opened === null) await evidence.demand(EVIDENCE_LASTS_MS, options);
      return opened;
    },
  };
}
