/**
 * A request over a connection that has died without a word (a lost Wi-Fi, a sleeping laptop) would wait for the
 * operating system to notice, which takes a quarter of an hour. We end it earlier, and the upload resumes.
 */

/** No byte has left for so long. More than a slow line needs to drain what the system has buffered. */
const SENDING_MS = 60_000;
/** All is sent and no answer: the server may be putting a large file together. */
const ANSWER_MS = 120_000;

export function watchForStall(xhr: XMLHttpRequest): void {
  let timer: number | undefined;
  const allow = (ms: number) => {
    clearTimeout(timer);
    timer = window.setTimeout(giveUp, ms);
  };
  const giveUp = () => {
    xhr.abort();
    // An abort is silent for tus-js-client, which takes it for its own; an error makes it try again.
    xhr.dispatchEvent(new ProgressEvent('error'));
  };
  xhr.addEventListener('loadstart', () => allow(SENDING_MS));
  xhr.upload.addEventListener('progress', () => allow(SENDING_MS));
  xhr.upload.addEventListener('load', () => allow(ANSWER_MS));
  xhr.addEventListener('loadend', () => clearTimeout(timer));
}
