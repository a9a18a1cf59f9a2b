plugins {
    `java-library`
    alias(libs.plugins.animalsniffer)
}

group = "dev.edgeship"
version = "0.1.0"

java {
    toolchain { languageVersion = JavaLanguageVersion.of(17) }
}

dependencies {
    implementation(libs.bouncycastle)
    implementation(libs.brotli)
    testImplementation(platform("org.junit:junit-bom:${libs.versions.junit.get()}"))
    testImplementation(libs.junit.jupiter)
    testRuntimeOnly(libs.junit.launcher)
    signature("${libs.gummy.bears.get()}@signature")
}

tasks.compileJava {
    options.release = 8
    options.compilerArgs.addAll(listOf("-Xlint:all,-try,-options,-processing", "-Werror"))
}

tasks.compileTestJava {
    options.release = 11
}

tasks.test {
    useJUnitPlatform()
    systemProperty("edgeship.sources", file("src/main/java").path)
}
