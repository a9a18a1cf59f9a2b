/** A package of `edgeship bundle --for web`, as its README says. */
export async function start({ folder, runtime, worker = 'auto' }) {
  const { load } = await import(`${folder}/index.js`);
  const model = await load({ runtime, worker });
  return async (values) => Object.values((await model.predict(values)).outputs)[0].values;
}
