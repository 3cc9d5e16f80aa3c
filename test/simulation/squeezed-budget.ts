import { type BudgetedBuffer, MemoryBudget } from '../../src/relay/memory-budget.ts';
import type { SpillStore } from '../../src/relay/spill-store.ts';
import type { SeededRandom } from './random.ts';

/** How often memory is spent, and the disk full, when a buffer takes some. */
const FLUSH_CHANCE = 0.15;

/** A budget that now and then has a buffer stored as a segment and released, as one that is spent does. */
export class SqueezedBudget extends MemoryBudget {
  readonly #random: SeededRandom;
  readonly #open = new Set<BudgetedBuffer>();

  constructor(
    capacityBytes: number,
    partBytes: number,
    spillStore: SpillStore,
    now: () => number,
    random: SeededRandom,
  ) {
    super(capacityBytes, partBytes, spillStore, now);
    this.#random = random;
  }

  override addFilling(buffer: BudgetedBuffer): void {
    this.#open.add(buffer);
    super.addFilling(buffer);
  }

  override removeFilling(buffer: BudgetedBuffer): void {
    this.#open.delete(buffer);
    super.removeFilling(buffer);
  }

  override take(bytes: number, buffer: BudgetedBuffer | null = null): boolean {
    const taken = super.take(bytes, buffer);
    if (taken && this.#random.chance(FLUSH_CHANCE)) queueMicrotask(() => this.#flushOne());
    return taken;
  }

  #flushOne(): void {
    const victims = [...this.#open].filter((buffer) => !buffer.flushWanted && buffer.heldBytes > 0);
    if (victims.length > 0) this.#random.pick(victims).wantFlush();
  }
}
