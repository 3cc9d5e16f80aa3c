/** Tries a bucket for everything that the product needs, one probe after the other, and cleans up behind them. */
import { S3Error } from '../s3/s3-errors.ts';
import { DIRECT_PROBES } from './s3-check-direct-probes.ts';
import { MULTIPART_PROBES } from './s3-check-multipart-probes.ts';
import { OBJECT_PROBES } from './s3-check-object-probes.ts';
import { type Probe, ShortcomingError } from './s3-check-probe.ts';
import { type CheckedBucket, CheckSite } from './s3-check-site.ts';

export interface Finding {
  probe: Probe;
  works: boolean;
  /** Whether the product (as it is asked for) can do without. */
  needed: boolean;
  /** Beside "works": a remark, maybe empty. Else what was found instead. */
  detail: string;
  /** Our credentials may not do it. */
  denied: boolean;
}

export interface CheckReport {
  prefix: string;
  findings: Finding[];
  /** What of the check could not be removed, in words. */
  left: string[];
}

const PROBES: readonly Probe[] = [...OBJECT_PROBES, ...MULTIPART_PROBES, ...DIRECT_PROBES];

export async function checkEverything(target: CheckedBucket): Promise<CheckReport> {
  const site = new CheckSite(target);
  const findings: Finding[] = [];
  let left: string[] = [];
  try {
    for (const probe of PROBES) findings.push(await find(probe, site));
  } finally {
    left = await site.remove();
  }
  return { prefix: site.prefix, findings, left };
}

async function find(probe: Probe, site: CheckSite): Promise<Finding> {
  const needed = probe.neededFor === 'server' || (probe.neededFor === 'direct' && site.target.origins.length > 0);
  try {
    return { probe, needed, works: true, detail: await probe.run(site), denied: false };
  } catch (error) {
    const { detail, denied } = describe(error);
    return { probe, needed, works: false, detail, denied };
  }
}

/** @throws whatever is not the service's doing */
function describe(error: unknown): { detail: string; denied: boolean } {
  if (error instanceof ShortcomingError) return { detail: error.message, denied: false };
  if (error instanceof S3Error) {
    const { operation, s3Code, httpStatus } = error;
    // S3 gives a HEAD no body, so its 403 has no code.
    const denied = httpStatus === 403 && (s3Code === 'AccessDenied' || /^(Http)?403$|Forbidden/.test(s3Code));
    return {
      detail: `${operation} was answered with ${s3Code}${httpStatus === null ? '' : ` (${httpStatus})`}`,
      denied,
    };
  }
  if (error instanceof TypeError && error.message === 'fetch failed') {
    return { detail: 'the service closed the connection', denied: false };
  }
  throw error;
}
