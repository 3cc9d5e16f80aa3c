/** For `node --import`: loads one source file with the mutant that SIMULATED_MUTANT names. */
import { registerHooks } from 'node:module';
import { MUTANTS, mutate } from './mutants.ts';

const ROOT = new URL('../../', import.meta.url);

const mutant = MUTANTS.find(({ name }) => name === process.env.SIMULATED_MUTANT);
if (mutant === undefined) throw new Error(`there is no mutant "${process.env.SIMULATED_MUTANT}"`);
const { href } = new URL(mutant.file, ROOT);

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (url !== href) return loaded;
    const source =
      typeof loaded.source === 'string' ? loaded.source : Buffer.from(loaded.source as Uint8Array).toString();
    return { ...loaded, source: mutate(mutant, source) };
  },
});
