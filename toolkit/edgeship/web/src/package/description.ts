/** What the page may know about its model. */
import FULL from "edgeship:description";

const { name, version, inputs, outputs, labels } = FULL;
export const DESCRIPTION = { name, version, inputs, outputs, labels, runtimes: FULL.runtimes.map((runtime) => runtime.name) };
