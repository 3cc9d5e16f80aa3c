/** What `npm run jobs` found or did, for the operator to read. */
import type { JobsReport, JobsRequest } from '../app/operations.ts';

export function describeJobs(request: JobsRequest, { jobs, problem }: JobsReport): string {
  if (problem !== null) return `Not done: ${problem}\n`;
  if (request.action === 'retry') return `Job ${request.jobId} may run at once.\n`;
  if (request.action === 'discard') return `Job ${request.jobId} is gone.\n`;
  if (jobs.length === 0) return 'There is no job to do.\n';
  const lines = jobs.flatMap((job) => {
    const about = Object.values(job.data).join(' ');
    const head = `${job.jobId}  ${job.queue.padEnd(17)}  ${job.state.padEnd(7)}  try ${job.tries}  from ${job.startsAt}  ${about}`;
    return job.problem === null ? [head] : [head, `    ${job.problem}`];
  });
  if (jobs.length === request.limit) lines.push(`(the oldest ${request.limit}; more with --limit)`);
  return `${lines.join('\n')}\n`;
}
