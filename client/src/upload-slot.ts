/**
 * Each tab keeps what it uploads in a slot of its own, so that a reload finds it again and two tabs never continue the
 * same upload against each other. A tab that was closed leaves its slot to the next one that is opened.
 */

const SLOTS = 32;
/** A reload asks for its slot while the page before it is still going away. */
const OWN_SLOT_WAIT_MS = 1_500;
const REMEMBERED = 'upload-slot';

/** @returns a name for the tab's uploads, held until the page goes away */
export async function takeUploadSlot(): Promise<string> {
  const remembered = sessionStorage.getItem(REMEMBERED);
  const slot = (await chooseSlot(remembered)) ?? `tab-${Math.random().toString(36).slice(2)}`;
  sessionStorage.setItem(REMEMBERED, slot);
  return slot;
}

/** @returns null when every slot is taken, or the browser has no locks (plain HTTP from another machine) */
async function chooseSlot(remembered: string | null): Promise<string | null> {
  if (!('locks' in navigator)) return remembered;
  if (remembered !== null && (await hold(remembered, { signal: AbortSignal.timeout(OWN_SLOT_WAIT_MS) }))) {
    return remembered;
  }
  for (let number = 1; number <= SLOTS; number += 1) {
    const slot = `uploads-${number}`;
    if (slot !== remembered && (await hold(slot, { ifAvailable: true }))) return slot;
  }
  return null;
}

function hold(slot: string, options: LockOptions): Promise<boolean> {
  return new Promise((resolve) => {
    navigator.locks
      .request(slot, options, (lock) => {
        resolve(lock !== null);
        return lock === null ? undefined : new Promise(() => {}); // never lets go by itself
      })
      .catch(() => resolve(false));
  });
}
