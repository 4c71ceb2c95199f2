// images: 20 inputs, 25 outputs, 29 live gates of two inputs, depth 6
// Inputs are thresholds of images of 77 bytes.
// Outputs are summed to scores of 3 classes.
// drawn at random
module images (
    input wire [19:0] x,
    output wire signed [8:0] score0,
    output wire signed [8:0] score1,
    output wire signed [8:0] score2,
    output wire [1:0] winner
);
    wire i0 = x[0];
    wire i1 = x[1];
    wire i2 = x[2];
    wire i3 = x[3];
    wire i4 = x[4];
    wire i5 = x[5];
    wire i6 = x[6];
    wire i7 = x[7];
    wire i8 = x[8];
    wire i9 = x[9];
    wire i10 = x[10];
    wire i11 = x[11];
    wire i12 = x[12];
    wire i13 = x[13];
    wire i14 = x[14];
    wire i15 = x[15];
    wire i16 = x[16];
    wire i17 = x[17];
    wire i18 = x[18];
    wire i19 = x[19];
    wire g0 = ~i0;
    wire g1 = i10 & ~i5;
    wire g2 = i6 & i5;
    wire g3 = i16 & g0;
    wire g4 = ~i3 & i19;
    wire g5 = ~(i18 ^ i15);
    wire g6 = ~g5;
    wire g7 = ~(g2 ^ g3);
    wire g8 = i3 | i12;
    wire g9 = g2 & ~g4;
    wire g10 = g7 | i18;
    wire g11 = ~1'b0 | i1;
    wire g12 = i8 | g8;
    wire g13 = g9 ^ g9;
    wire g14 = g8 & g11;
    wire g15 = i12 ^ 1'b1;
    wire g16 = ~g12;
    wire g17 = ~g3;
    wire g18 = ~1'b1 | 1'b0;
    wire g19 = g13 ^ 1'b1;
    wire g20 = ~i10 | g14;
    wire g21 = ~i6 | g18;
    wire g22 = ~(i9 & i19);
    wire g23 = g21 | ~1'b1;
    wire [1:0] count0_0_0_0 = 1'b1 + i0;
    wire [1:0] count0_0_0_1 = i0;
    wire [2:0] count0_0_1_0 = count0_0_0_0 + count0_0_0_1;
    wire signed [8:0] term0_0 = {1'b0, count0_0_1_0};
    wire signed [8:0] term0_1 = {1'b0, i0};
    wire [1:0] count0_2_0_0 = 1'b1 + i0;
    wire signed [8:0] term0_2 = {1'b0, count0_2_0_0};
    wire [1:0] count0_3_0_0 = g6 + i19;
    wire [1:0] count0_3_0_1 = g15;
    wire [2:0] count0_3_1_0 = count0_3_0_0 + count0_3_0_1;
    wire signed [8:0] term0_3 = {1'b0, count0_3_1_0};
    wire [1:0] count0_4_0_0 = g6 + g15;
    wire signed [8:0] term0_4 = {1'b0, count0_4_0_0};
    wire signed [8:0] term0_5 = {1'b0, i19};
    assign score0 = 9'sd3 + term0_0 + (term0_1 <<< 1) + (term0_2 <<< 2) - term0_3 - (term0_4 <<< 1) - (term0_5 <<< 2);
    wire [1:0] count1_0_0_0 = g20 + g23;
    wire signed [8:0] term1_0 = {1'b0, count1_0_0_0};
    wire [1:0] count1_1_0_0 = g10 + i12;
    wire signed [8:0] term1_1 = {1'b0, count1_1_0_0};
    wire signed [8:0] term1_2 = {1'b0, g23};
    wire [1:0] count1_3_0_0 = i4 + 1'b1;
    wire signed [8:0] term1_3 = {1'b0, count1_3_0_0};
    wire signed [8:0] term1_4 = {1'b0, 1'b1};
    wire [1:0] count1_5_0_0 = i15 + g19;
    wire signed [8:0] term1_5 = {1'b0, count1_5_0_0};
    assign score1 = -9'sd200 + term1_0 + (term1_1 <<< 1) + (term1_2 <<< 2) - term1_3 - (term1_4 <<< 1) - (term1_5 <<< 2);
    wire signed [8:0] term2_0 = {1'b0, g17};
    wire [1:0] count2_1_0_0 = g17 + g22;
    wire signed [8:0] term2_1 = {1'b0, count2_1_0_0};
    wire signed [8:0] term2_2 = {1'b0, i12};
    wire signed [8:0] term2_3 = {1'b0, g16};
    wire signed [8:0] term2_4 = {1'b0, i12};
    assign score2 = 9'sd0 + term2_0 + (term2_1 <<< 1) - term2_2 - (term2_3 <<< 1) - (term2_4 <<< 2);
    wire better1 = score1 > score0;
    wire signed [8:0] best1 = better1 ? score1 : score0;
    wire [1:0] winner1 = better1 ? 2'd1 : 2'd0;
    wire better2 = score2 > best1;
    wire signed [8:0] best2 = better2 ? score2 : best1;
    wire [1:0] winner2 = better2 ? 2'd2 : winner1;
    assign winner = winner2;
endmodule
