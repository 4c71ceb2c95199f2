/* full adder: 3 inputs, 2 outputs, 5 live gates of two inputs, depth 3
 */
"use strict";

// Bit k of inputs[i] is input i of case k, of 32; fills outputs the same way.
function full_adder(inputs, outputs = new Int32Array(2)) {
  const a = inputs[0];
  const b = inputs[1];
  const carry = inputs[2];
  const g0 = a ^ b;
  const g1 = g0 ^ carry;
  const g2 = a & b;
  const g3 = g0 & carry;
  const g4 = g2 | g3;
  outputs[0] = g1;
  outputs[1] = g4;
  return outputs;
}

if (typeof module !== "undefined") module.exports = { full_adder };
