/** A package of `edgeship bundle --for web`, as its README says: bundled with the page, its assets where they were published. */
import { load } from 'package';

export async function start({ folder, runtime, worker = 'auto' }) {
  const model = await load({ baseUrl: folder, runtime, worker });
  return async (values) => Object.values((await model.predict(values)).outputs)[0].values;
}
