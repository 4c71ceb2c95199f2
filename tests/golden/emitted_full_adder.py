"""full adder: 3 inputs, 2 outputs, 5 live gates of two inputs, depth 3

Inputs: a, b, carry.
Outputs: sum, next.
"""


def full_adder(inputs, ones=1):
    """Compute the outputs of one case, or of many at once.

    Values are 0 and 1; or integers with a case a bit, and ones = 2**cases - 1; or arrays of
    numpy, and ones an array of ones of all bits.
    """
    (a, b, carry) = inputs
    g0 = a ^ b
    g1 = g0 ^ carry
    g2 = a & b
    g3 = g0 & carry
    g4 = g2 | g3
    return (g1, g4)
