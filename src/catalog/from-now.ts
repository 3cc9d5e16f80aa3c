import { type RawBuilder, sql } from 'kysely';

/** The time so many seconds from now, by the database's clock, which all nodes share. */
export function fromNow(secs: number): RawBuilder<Date> {
  return sql`(now() + make_interval(secs => ${secs}))`;
}
