"""Write designs as C, Verilog and other formats."""
