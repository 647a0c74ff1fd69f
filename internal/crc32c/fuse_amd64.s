#include "textflag.h"

// func fuse(crc uint32, p *byte, rounds int, k *[10]uint64) uint32
//
// The message is cut in four: 128 bytes a round for the vector unit, which folds them as in fold_amd64.s, and three times 48 for CRC32
// instructions. Neither keeps the processor busy alone. The four sums are moved to the end of the message by a multiplication each, and added.
TEXT ·fuse(SB), NOSPLIT, $0-36
	MOVQ p+8(FP), R9
	MOVQ rounds+16(FP), CX
	MOVQ k+24(FP), DI

	// R9: 128 bytes a round; SI, R12, R13: 48 each.
	MOVQ CX, R10
	SHLQ $7, R10
	LEAQ (CX)(CX*2), R11
	SHLQ $4, R11
	LEAQ (R9)(R10*1), SI
	LEAQ (SI)(R11*1), R12
	LEAQ (R12)(R11*1), R13
	XORL AX, AX
	XORL BX, BX
	XORL DX, DX
	VBROADCASTI128 (DI), Y15
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3

round:
	VPCLMULQDQ $0x00, Y15, Y0, Y4
	CRC32Q (SI), AX
	CRC32Q (R12), BX
	CRC32Q (R13), DX
	VPCLMULQDQ $0x11, Y15, Y0, Y0
	CRC32Q 8(SI), AX
	CRC32Q 8(R12), BX
	CRC32Q 8(R13), DX
	VPCLMULQDQ $0x00, Y15, Y1, Y5
	CRC32Q 16(SI), AX
	CRC32Q 16(R12), BX
	CRC32Q 16(R13), DX
	VPCLMULQDQ $0x11, Y15, Y1, Y1
	CRC32Q 24(SI), AX
	CRC32Q 24(R12), BX
	CRC32Q 24(R13), DX
	VPCLMULQDQ $0x00, Y15, Y2, Y6
	CRC32Q 32(SI), AX
	CRC32Q 32(R12), BX
	CRC32Q 32(R13), DX
	VPCLMULQDQ $0x11, Y15, Y2, Y2
	CRC32Q 40(SI), AX
	CRC32Q 40(R12), BX
	CRC32Q 40(R13), DX
	VPCLMULQDQ $0x00, Y15, Y3, Y7
	VPCLMULQDQ $0x11, Y15, Y3, Y3
	VPXOR (R9), Y4, Y4
	VPXOR 32(R9), Y5, Y5
	VPXOR 64(R9), Y6, Y6
	VPXOR 96(R9), Y7, Y7
	VPXOR Y4, Y0, Y0
	VPXOR Y5, Y1, Y1
	VPXOR Y6, Y2, Y2
	VPXOR Y7, Y3, Y3
	ADDQ $128, R9
	ADDQ $48, SI
	ADDQ $48, R12
	ADDQ $48, R13
	DECQ CX
	JNZ  round

	// Each register moves over 256 bits, onto its neighbour.
	VBROADCASTI128 16(DI), Y15
	VPCLMULQDQ $0x00, Y15, Y0, Y4
	VPCLMULQDQ $0x11, Y15, Y0, Y0
	VPXOR Y4, Y1, Y1
	VPXOR Y0, Y1, Y1
	VPCLMULQDQ $0x00, Y15, Y1, Y4
	VPCLMULQDQ $0x11, Y15, Y1, Y1
	VPXOR Y4, Y2, Y2
	VPXOR Y1, Y2, Y2
	VPCLMULQDQ $0x00, Y15, Y2, Y4
	VPCLMULQDQ $0x11, Y15, Y2, Y2
	VPXOR Y4, Y3, Y3
	VPXOR Y2, Y3, Y3

	// The last one's first half moves over 128 bits, onto its second, and that is summed.
	VEXTRACTI128 $1, Y3, X1
	VMOVDQU 32(DI), X15
	VPCLMULQDQ $0x00, X15, X3, X4
	VPCLMULQDQ $0x11, X15, X3, X3
	VPXOR X4, X1, X1
	VPXOR X3, X1, X1
	VMOVQ X1, R10
	VPEXTRQ $1, X1, R11
	XORL R8, R8
	CRC32Q R10, R8
	CRC32Q R11, R8

	// What came before the message, and the first three sums, move to its end.
	MOVL crc+0(FP), R10
	VMOVQ R10, X0
	VMOVQ R8, X1
	VMOVQ AX, X2
	VMOVQ BX, X3
	VMOVDQU 48(DI), X4
	VMOVDQU 64(DI), X5
	VPCLMULQDQ $0x00, X4, X0, X0
	VPCLMULQDQ $0x10, X4, X1, X1
	VPCLMULQDQ $0x00, X5, X2, X2
	VPCLMULQDQ $0x10, X5, X3, X3
	VPXOR X1, X0, X0
	VPXOR X3, X2, X2
	VPXOR X2, X0, X0
	VMOVQ X0, R10
	XORL R8, R8
	CRC32Q R10, R8
	XORL DX, R8
	VZEROUPPER
	MOVL R8, ret+32(FP)
	RET
