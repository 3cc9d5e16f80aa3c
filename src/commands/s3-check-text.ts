/** What the check has found, for the operator to read. */
import type { ProviderName, ProviderProfile } from '../provider-profiles.ts';
import type { CheckReport, Finding } from './s3-check-run.ts';

export interface CheckedPlace {
  /** As the server's banner says it. */
  address: string;
  profileName: ProviderName;
  profile: ProviderProfile;
  maxParts: number;
}

export function describeCheck({ prefix, findings, left }: CheckReport, place: CheckedPlace): string {
  const lines = [
    `S3: ${place.address}, taken for ${place.profile.title} (S3_PROFILE=${place.profileName})`,
    `Tried under ${prefix}`,
    '',
    ...findings.map(lineOf),
    ...profileDifferences(findings, place).map((line) => `  ${line}`),
    '',
    `At most ${place.maxParts} parts in an object are taken for granted: this is not tried (S3_MAX_PARTS).`,
  ];
  if (left.length > 0) lines.push(`Could not be removed again: ${left.join('; ')}.`);
  const permissions = new Set(
    findings.filter((it) => it.denied && it.probe.permission).map((it) => it.probe.permission),
  );
  if (permissions.size > 0)
    lines.push('Permissions that our credentials lack:', ...[...permissions].map((it) => `  ${it}`));
  const missing = findings.filter((it) => it.needed && !it.works);
  lines.push(
    missing.length === 0
      ? 'Everything that is needed works.'
      : `Needed, and does not work: ${missing.map((it) => it.probe.name).join('; ')}.`,
  );
  return `${lines.join('\n')}\n`;
}

/** 1: something that is needed does not work. */
export function exitCodeOfCheck({ findings }: CheckReport): 0 | 1 {
  return findings.some((it) => it.needed && !it.works) ? 1 : 0;
}

function lineOf({ probe, works, needed, detail, denied }: Finding): string {
  const verdict = works ? 'works' : needed ? 'does not work' : 'not needed';
  const permission = denied && probe.permission !== null ? `not allowed: ${probe.permission}` : '';
  const remarks = works ? [detail] : [detail, permission, probe.otherwise];
  return `  ${verdict.padEnd(15)}${probe.name.padEnd(40)}${remarks.filter((it) => it !== '').join('. ')}`.trimEnd();
}

/** Where the service does not do what its profile says: it may be another service, or another version of it. */
function profileDifferences(findings: readonly Finding[], { profile, profileName }: CheckedPlace): string[] {
  const known: [probe: string, said: ProviderProfile['uploadPartCopy']][] = [
    ['ListMultipartUploads under a prefix', profile.multipartsByPrefix],
    ['UploadPartCopy', profile.uploadPartCopy],
    ['PutObject, If-None-Match', profile.conditionalPut],
  ];
  return known.flatMap(([name, said]) => {
    const finding = findings.find((it) => it.probe.name === name);
    if (finding === undefined || finding.denied || said === 'unknown' || finding.works === (said === 'yes')) return [];
    return [`Other than the profile ${profileName} says: ${name} ${finding.works ? 'works' : 'does not work'}.`];
  });
}
