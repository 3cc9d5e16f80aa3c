import type { Queue } from 'pg-boss';

/** The queues' names, as they stand in the database: never renamed once released. */
export const QUEUES = {
  uploadCompletion: 'upload-completion',
  thumbnail: 'thumbnail',
  largeThumbnail: 'thumbnail-large',
  thumbnailFailed: 'thumbnail-failed',
  sweepUpload: 'sweep-upload',
} as const;

export type QueueName = (typeof QUEUES)[keyof typeof QUEUES];

/**
 * Queues of earlier versions. A policy cannot be changed: `complete-upload` was `short`, which is blind to jobs that wait
 * for their next try, and so took another one at each turn of the sweeper. What waits there is dropped at the start: the
 * sweeper sees to every upload that is completing. Nodes of that version go on using it until they are replaced.
 */
export const RETIRED_QUEUES = ['complete-upload'] as const;

/** What a job of each queue carries: names of rows, never their content, which may have changed when it runs. */
export interface JobData {
  'upload-completion': { uploadId: string };
  thumbnail: { fileId: string };
  'thumbnail-large': { fileId: string };
  'thumbnail-failed': { fileId: string };
  'sweep-upload': { uploadId: string };
}

export interface QueueDefinition {
  /**
   * What makes enqueuing idempotent: with the same key, another job is dropped while one is waiting or running
   * ('exclusive'), or while one is waiting ('short': a running one may plan its own successor). Fixed once released.
   */
  readonly policy: 'exclusive' | 'short';
  readonly options: Omit<Queue, 'name' | 'policy' | 'partition'>;
  /** How soon a job that waits for its next try is noticed; a new job wakes its workers at once. */
  readonly idlePollSecs: number;
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/**
 * About five hours of S3 being away. Not without end, since nobody waits for a preview for ever. (An image that kills its
 * decoder is given up much earlier: thumbnail-job.ts counts.)
 */
const THUMBNAIL_TRIES = { retryLimit: 25, retryDelay: 2, retryBackoff: true, retryDelayMax: 15 * MINUTE };

/** pg-boss has no "for ever": the largest integer, and fifty years for which an unfinished job is kept. */
const WITHOUT_END = { retryLimit: 2 ** 31 - 1, retentionSeconds: 18_250 * DAY };

/** A worker that has not been heard from for this long is taken for dead, and its job goes back to the queue. */
const HEARTBEAT_SECS = 30;

export const QUEUE_DEFINITIONS: Readonly<Record<QueueName, QueueDefinition>> = {
  'upload-completion': {
    policy: 'exclusive', // one unfinished job an upload: the sweeper asks for one at each turn
    idlePollSecs: 5,
    options: {
      ...WITHOUT_END,
      retryDelay: 1,
      retryBackoff: true,
      retryDelayMax: MINUTE,
      expireInSeconds: HOUR, // Complete of ten thousand parts takes minutes, a restored part longer
      heartbeatSeconds: HEARTBEAT_SECS,
      deleteAfterSeconds: HOUR,
      notify: true,
    },
  },
  thumbnail: {
    policy: 'exclusive',
    idlePollSecs: 10,
    options: {
      ...THUMBNAIL_TRIES,
      retentionSeconds: 30 * DAY,
      expireInSeconds: 10 * MINUTE,
      heartbeatSeconds: HEARTBEAT_SECS,
      deleteAfterSeconds: HOUR,
      deadLetter: QUEUES.thumbnailFailed,
      notify: true,
    },
  },
  'thumbnail-large': {
    policy: 'exclusive',
    idlePollSecs: 10,
    options: {
      ...THUMBNAIL_TRIES,
      retentionSeconds: 30 * DAY,
      expireInSeconds: HOUR, // most of it may be spent waiting for the other processes of the machine
      heartbeatSeconds: HEARTBEAT_SECS,
      deleteAfterSeconds: HOUR,
      deadLetter: QUEUES.thumbnailFailed,
      notify: true,
    },
  },
  'thumbnail-failed': {
    policy: 'short',
    idlePollSecs: 30,
    options: {
      ...WITHOUT_END,
      retryDelay: 10,
      retryBackoff: true,
      retryDelayMax: 15 * MINUTE,
      deleteAfterSeconds: DAY,
    },
  },
  'sweep-upload': {
    policy: 'short',
    idlePollSecs: 30,
    options: {
      ...WITHOUT_END,
      retryDelay: 5,
      retryBackoff: true,
      retryDelayMax: 15 * MINUTE,
      expireInSeconds: HOUR,
      heartbeatSeconds: HEARTBEAT_SECS,
      deleteAfterSeconds: HOUR,
      notify: true,
    },
  },
};
