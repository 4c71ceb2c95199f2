// full adder: 3 inputs, 2 outputs, 5 live gates of two inputs, depth 3
module full_adder (
    input wire a,
    input wire b,
    input wire carry,
    output wire sum,
    output wire next
);
    wire g0 = a ^ b;
    wire g1 = g0 ^ carry;
    wire g2 = a & b;
    wire g3 = g0 & carry;
    wire g4 = g2 | g3;
    assign sum = g1;
    assign next = g4;
endmodule
