/** The command line says something that the command does not know; the message says what. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
