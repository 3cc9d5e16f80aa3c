import type { EventBus, FileEvent } from './event-bus.ts';
import { LateProgress } from './late-progress.ts';

/** Events within one process: listeners are called one after another, before `publish` comes back. */
export class MemoryEventBus implements EventBus {
  readonly #listeners = new Map<symbol, (event: FileEvent) => void>();
  readonly #lateProgress = new LateProgress();
  readonly #onFailure: (error: unknown) => void;

  /** @param onFailure is told what a listener threw; neither the publisher nor the other listeners notice */
  constructor(onFailure: (error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  /** @returns false for progress of an upload that has ended, which nobody is told */
  publish(event: FileEvent): boolean {
    if (this.#lateProgress.isLate(event)) return false;
    // A copy: a listener may end its own or another subscription.
    for (const [subscription, listener] of [...this.#listeners]) {
      if (!this.#listeners.has(subscription)) continue;
      try {
        listener(event);
      } catch (error) {
        this.#onFailure(error);
      }
    }
    return true;
  }

  subscribe(listener: (event: FileEvent) => void): () => void {
    const subscription = Symbol('subscription');
    this.#listeners.set(subscription, listener);
    return () => void this.#listeners.delete(subscription);
  }
}
