import type { EventBus, FileEvent } from './event-bus.ts';

/** Events within one process: listeners are called one after another, before `publish` comes back. */
export class MemoryEventBus implements EventBus {
  readonly #listeners = new Map<symbol, (event: FileEvent) => void>();
  readonly #onFailure: (error: unknown) => void;

  /** @param onFailure is told what a listener threw; neither the publisher nor the other listeners notice */
  constructor(onFailure: (error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  publish(event: FileEvent): void {
    // A copy: a listener may end its own or another subscription.
    for (const [subscription, listener] of [...this.#listeners]) {
      if (!this.#listeners.has(subscription)) continue;
      try {
        listener(event);
      } catch (error) {
        this.#onFailure(error);
      }
    }
  }

  subscribe(listener: (event: FileEvent) => void): () => void {
    const subscription = Symbol('subscription');
    this.#listeners.set(subscription, listener);
    return () => void this.#listeners.delete(subscription);
  }
}
