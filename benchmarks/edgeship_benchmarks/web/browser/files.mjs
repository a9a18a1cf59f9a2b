/** Files of one start: their addresses differ from those of any other, so that no cache knows them. */
import { Fault } from '../npy.mjs';

const ROOT = new URL('../../', import.meta.url);
/** What npm packages lie under. */
export const PACKAGES = new URL('packages/', ROOT).href;

/** @param {string} path below this start's address @returns {Promise<ArrayBuffer>} */
export async function get(path) {
  const found = await fetch(new URL(path, ROOT));
  if (!found.ok) throw new Fault('ArtifactError', `${path} was not sent: HTTP ${found.status}`);
  return found.arrayBuffer();
}
