/* __chkstk as code for 64-bit Windows calls it before a large frame: with the frame's size in rax it touches every page of it from the top
 * down, because the system adds pages to a stack only in their order, and changes no register but the flags ("x64 prolog and epilog",
 * learn.microsoft.com). Microsoft's compilers bring one of their own, MinGW has it under another name. */
__attribute__((naked)) void __chkstk(void);

__attribute__((naked)) void __chkstk(void) {
    __asm__(
        "push %rcx\n\t"
        "push %rax\n\t"
        "lea 24(%rsp), %rcx\n\t" /* where the caller's frame will begin */
        "1: cmp $4096, %rax\n\t"
        "jb 2f\n\t"
        "sub $4096, %rcx\n\t"
        "orq $0, (%rcx)\n\t"
        "sub $4096, %rax\n\t"
        "jmp 1b\n\t"
        "2: sub %rax, %rcx\n\t"
        "orq $0, (%rcx)\n\t"
        "pop %rax\n\t"
        "pop %rcx\n\t"
        "ret");
}
