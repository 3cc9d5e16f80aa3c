/** `npm run dev`: the server, started again when its sources change, and the page, built again when its own do. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

const children = [
  run('--watch', '--watch-preserve-output', 'src/main.ts'),
  run('node_modules/vite/bin/vite.js', 'build', 'client', '--watch', '--logLevel', 'warn'),
];

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // What was asked for is no failure.
    process.exitCode = 0;
    for (const child of children) child.kill(signal);
  });
}

function run(...args: string[]): ChildProcess {
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: 'inherit' });
  // One without the other is of no use.
  child.once('exit', (code) => {
    process.exitCode ??= code ?? 1;
    for (const other of children) if (other !== child) other.kill();
  });
  return child;
}
