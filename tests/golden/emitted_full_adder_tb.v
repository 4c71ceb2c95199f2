module full_adder_testbench;
    reg a;
    reg b;
    reg carry;
    wire sum;
    wire next;
    integer errors;
    full_adder design_under_test (.a(a), .b(b), .carry(carry), .sum(sum), .next(next));
    task check(input [2:0] given, input [1:0] wanted);
        begin
            {carry, b, a} = given;
            #1;
            if ({next, sum} !== wanted) begin
                errors = errors + 1;
                $display("FAIL: %h gives %h, expected %h", given, {next, sum}, wanted);
            end
        end
    endtask
    initial begin
        errors = 0;
        check(3'h0, 2'h0);
        check(3'h1, 2'h1);
        check(3'h2, 2'h1);
        check(3'h3, 2'h2);
        check(3'h4, 2'h1);
        check(3'h5, 2'h2);
        check(3'h6, 2'h2);
        check(3'h7, 2'h3);
        if (errors == 0) $display("PASS: 8 cases");
        else $display("FAIL: %0d of 8 cases", errors);
        $finish;
    end
endmodule
